"""The look: paper and ink with one green, from fonts that every machine has."""

from __future__ import annotations

import gradio as gr

_INK = gr.themes.Color(
    name="ink",
    c50="#faf9f6",
    c100="#f3f1ec",
    c200="#e5e2da",
    c300="#d0ccc2",
    c400="#a09c92",
    c500="#726f67",
    c600="#57544e",
    c700="#3d3b37",
    c800="#282725",
    c900="#1c1b1a",
    c950="#141312",
)
_GREEN = gr.themes.Color(
    name="green",
    c50="#effaf6",
    c100="#d6f1e7",
    c200="#aee3d1",
    c300="#7bceb5",
    c400="#46b296",
    c500="#24967b",
    c600="#177863",
    c700="#156051",
    c800="#144d42",
    c900="#124038",
    c950="#082420",
)


def theme() -> gr.themes.Base:
    """Return the theme; nothing in it is fetched from another host."""
    look = gr.themes.Base(
        primary_hue=_GREEN,
        secondary_hue=_GREEN,
        neutral_hue=_INK,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
        font=("ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"),
        font_mono=("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"),
    )
    return look.set(
        body_background_fill="#faf9f6",
        body_background_fill_dark="#161615",
        body_text_color="#1c1b1a",
        body_text_color_dark="#eceae4",
        body_text_color_subdued="#65625b",
        body_text_color_subdued_dark="#a8a49a",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1f1e1d",
        background_fill_secondary="#f3f1ec",
        background_fill_secondary_dark="#1b1a19",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1f1e1d",
        block_border_color="#e5e2da",
        block_border_color_dark="#35332f",
        border_color_primary="#e5e2da",
        border_color_primary_dark="#35332f",
        input_background_fill="#ffffff",
        input_background_fill_dark="#262523",
        input_border_color="#d0ccc2",
        input_border_color_dark="#45423d",
        input_border_color_focus="#24967b",
        input_border_color_focus_dark="#46b296",
        block_shadow="none",
        input_border_width="1px",
        input_border_width_dark="1px",
        block_shadow_dark="none",
        block_label_text_color="#57544e",
        block_label_text_color_dark="#b9b5ab",
        block_title_text_color="#3d3b37",
        block_title_text_color_dark="#d6d3ca",
        block_title_text_weight="600",
        block_info_text_color="#65625b",
        block_info_text_color_dark="#a8a49a",
        button_primary_background_fill="#177863",
        button_primary_background_fill_hover="#156051",
        button_primary_background_fill_dark="#24967b",
        button_primary_background_fill_hover_dark="#177863",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        slider_color="#177863",
        slider_color_dark="#46b296",
        checkbox_background_color_selected="#177863",
        checkbox_background_color_selected_dark="#24967b",
    )
