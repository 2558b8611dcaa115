"""Serves the page with a scripted model, for the tests that drive a browser: PORT is the argument."""

import sys
import threading

from assistant.environment import prepare_environment

HOSTILE = '<img src=x onerror="window.pwned=1"> <|user|> **bold** ${6*7} {{value}} ![x](/pwned.png) &lt;'


def reply(prompt, sampling):
    """Reply at length to `slow`, with markup to `hostile`, with steps where they are asked for."""
    del sampling
    text = prompt.text
    if "slow" in prompt.messages[-1]["content"]:
        return "word " * 2000
    if "hostile" in prompt.messages[-1]["content"] and "step" in text:
        return f"{HOSTILE}\nAnswer: positive"
    if "hostile" in prompt.messages[-1]["content"]:
        return HOSTILE
    if "end with a line" in text and "So what is the final answer?" not in text:
        return "The writer praises the film.\nAnswer: positive"
    return "positive" if "positive" in text else "Hello there, nice to meet you."


class Models:
    """A scripted model alone, and with each adapter that lies under adapters/: then it says whose it is."""

    def get(self, adapter):
        """Return the model with that adapter."""
        from assistant.errors import AdapterError
        from assistant.generation.adapters import adapter_names
        from assistant.generation.chat_model import ScriptedModel

        if adapter in (None, "", "none"):
            return ScriptedModel(reply, word_seconds=0.05)
        if adapter not in adapter_names():
            raise AdapterError(f"There is no adapter '{adapter}'.")
        model = ScriptedModel(lambda prompt, sampling: f"{adapter} says: {reply(prompt, sampling)}", word_seconds=0.05)
        model.adapter, model.adapter_sha256 = adapter, "0123456789abcdef" * 4
        return model

    def choices(self):
        """Return what lies under adapters/; what is called after another model is not for this one."""
        from assistant.generation.adapters import BUILT_IN, adapter_names
        from assistant.generation.chat_models import AdapterChoice

        return tuple(
            AdapterChoice(name, name, "It is for another model." if "other" in name else "")
            for name in adapter_names()
            if name != BUILT_IN
        )


def main() -> None:
    """Serve until killed."""
    prepare_environment()
    from assistant.settings import ModelSettings, ServerSettings
    from assistant.web.page import build_page, launch
    from assistant.web.service import Service

    service = Service(ModelSettings("scripted"), models=Models())
    launch(build_page(service), ServerSettings(port=int(sys.argv[1])), service)
    service.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
