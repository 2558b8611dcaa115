"""`recipe list`, `recipe show`, `recipe run`: published experiments, run with any model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.evaluation_board import Board
from assistant.commands.loading import load_assistant
from assistant.commands.options import Json, ModelOptions, grouped
from assistant.commands.recipe_curve import CurveOptions, run_curve
from assistant.commands.running import STOPPED, PageOptions, build_bars, how_to_go_on, stop_signal
from assistant.commands.terminal import say, show, show_json, table
from assistant.errors import SettingError

if TYPE_CHECKING:
    from assistant.evaluation.recipes.recipe import Recipe, RecipeCurve, RecipeRun
    from assistant.evaluation.running.progress import Progress

recipe_app = typer.Typer(help="Recipes: published experiments as they were run, and as they should have been.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The recipe's name.", show_default=False)]


@recipe_app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """List all recipes."""
    from assistant.evaluation.recipes.recipe import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    if as_json:
        show_json([{"name": one.name, "title": one.title, "about": one.about, "source": one.source} for one in recipes])
        return
    rows = [(one.name, ", ".join(dict.fromkeys(_data(one))), one.about) for one in recipes]
    show(table(("recipe", "data", "about"), rows))


def _data(recipe: Recipe) -> list[str]:
    return [run.data for run in recipe.runs] + ([recipe.curve.data] if recipe.curve else [])


@recipe_app.command("show")
def show_recipe(name: Name, as_json: Json = False) -> None:
    """Show a recipe: what is asked, what was published, whether it can be true, and what is wrong with it."""
    from dataclasses import asdict

    from assistant.evaluation.recipes.claims import published_lines
    from assistant.evaluation.recipes.recipe import load_recipe

    recipe = load_recipe(name)
    if as_json:
        show_json({**asdict(recipe), "published_claims": published_lines(recipe.claims())})
        return
    show(_page(recipe))


@recipe_app.command("run")
@grouped
def run_recipe(
    name: Name,
    model: ModelOptions,
    data: Annotated[
        str | None, typer.Option(help="Folder of public data sets [default: built-in ones, where they can stand in].")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "--test", help="At most so many samples (held-out rows) in each run.")
    ] = None,
    *,
    curve: CurveOptions,
    output: PageOptions,
    as_json: Json = False,
) -> None:
    """Run a recipe; the same command goes on where it was stopped.

    Of several runs, each gets an HTML file of its own. A learning curve (prompt-or-tune, lora-rank-sweep) takes the
    options that begin with "Curves".
    """
    from assistant.evaluation.recipes.recipe import load_recipe
    from assistant.evaluation.recipes.report import markdown, recipe_record
    from assistant.evaluation.recipes.runs import Conditions, plan_recipe, run_plans
    from assistant.generation.loading import check_model

    if limit is not None and limit < 1:
        raise SettingError(f"At least 1 sample must be answered, not {limit}.", "Raise --limit.")
    recipe = load_recipe(name)
    if recipe.curve is not None:
        run_curve(recipe, recipe.curve, model.settings(), curve, data, limit, output, as_json)
        return
    if curve.given():
        raise SettingError(
            f"The recipe '{name}' is no learning curve, and {curve.given()[0]} is an option of those.",
            "Leave it out, or run prompt-or-tune or lora-rank-sweep.",
        )
    output.check()
    check_model(model.settings())
    with build_bars() as bars:
        plans, left_out = plan_recipe(recipe, Conditions(data, limit, model=model.settings()), building=bars)
    assistant = load_assistant(model.settings())
    with stop_signal() as stop:
        runs = run_plans(plans, assistant, stop=stop, report=_told)
    record = recipe_record(recipe, runs, left_out)
    text = markdown(recipe, runs, left_out)
    replace(output, html=None).write_pages(record, html=str, markdown=lambda: text)
    if output.html is not None:
        _write_html(recipe, runs, Path(output.html).expanduser())
    show_json(record) if as_json else show(text)
    if stop.is_set():
        say(how_to_go_on(["recipe", "run", name]))
        raise typer.Exit(STOPPED)


def _told(run: RecipeRun) -> Callable[[Progress], None]:
    say(f"{run.title}:")
    return Board().tell


def _page(recipe: Recipe) -> str:
    from assistant.evaluation.recipes.claims import author_part, published_part
    from assistant.evaluation.recipes.report import FLAWS, bullets, part_blocks

    blocks = [f"{recipe.name}: {recipe.title}", recipe.about, f"Source: {recipe.source}."]
    blocks += bullets(FLAWS, recipe.flaws)
    for part in (published_part(recipe), author_part(recipe)):
        blocks += part_blocks(part) if part else []
    if recipe.runs:
        blocks += ["## Runs", *(_run_lines(run) for run in recipe.runs)]
    if recipe.curve is not None:
        blocks += ["## Curve", _curve_lines(recipe.curve)]
    return "\n\n".join(blocks)


def _curve_lines(curve: RecipeCurve) -> str:
    from assistant.evaluation.curves.ways import WAYS

    settings = curve.settings
    lines = [
        f"data       {curve.data} (built-in stand-in: {curve.instead}), or --source; {settings.test} held-out rows",
        f"rows       {', '.join(f'{number:,}' for number in settings.rows)}, drawn {settings.seeds} times",
        f"methods    {', '.join(settings.methods)}",
        *([f"ranks      {', '.join(map(str, settings.ranks))}"] if settings.ranks else []),
        "",
        "What --methods can name:",
        *(f"  {way.name:<26} {way.about}" for way in WAYS.values()),
    ]
    return "\n".join(lines)


def _run_lines(run: RecipeRun) -> str:
    rows = f"{len(run.ids)} named rows" if run.ids else f"at most {run.limit} rows, drawn with seed {run.seed},"
    instead = f" (built-in stand-in: {run.instead})" if run.instead else ""
    lines = [
        f"{run.name}: {run.title}",
        f"  data         {rows} of the part '{run.part}' of {run.data}{instead}",
        f"  strategies   {', '.join(run.strategies)}",
        f"  readings     {', '.join(run.readings)}{', and the published parser' if run.published_reading else ''}",
        f"  reply        at most {run.max_new_tokens} tokens",
    ]
    if run.label_names:
        lines.append(f"  label names  {', '.join(run.label_names)}")
    if run.baselines:
        lines.append("  also         the rows without a language model")
    return "\n".join(lines)


def _write_html(recipe: Recipe, runs: Sequence[tuple[RecipeRun, dict[str, Any]]], path: Path) -> None:
    from assistant.evaluation.recipes.claims import author_part, published_part
    from assistant.evaluation.recipes.report import across_part, beside_part, flaws_part, heading
    from assistant.evaluation.reports.report import html_report

    for run, record in runs:
        parts = [
            published_part(recipe),
            author_part(recipe),
            beside_part(run, record),
            across_part(runs),
            flaws_part(recipe),
        ]
        page = html_report(
            record, title=f"{recipe.title}: {heading(run, record, whole=True)}", extra=[part for part in parts if part]
        )
        target = path if len(runs) == 1 else path.with_name(f"{path.stem}-{run.name}{path.suffix}")
        target.write_text(page, encoding="utf-8")
        say(f"Written: {target}")
