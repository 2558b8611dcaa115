"""Fine-tuning of language models: adapters, soft prompts and whole models, on the prompts that the assistant serves."""
