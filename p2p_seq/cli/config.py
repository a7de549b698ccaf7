"""`p2pseq config`: what the configuration is, where it comes from, and whether it holds."""

from typing import Annotated

from cyclopts import App, Parameter

from p2p_seq.cli.common import Options, answer_json, load

app = App(name="config", help="Show and check the configuration.")

DEFAULTS = Options()


@app.command
def show(
    *,
    origin: Annotated[bool, Parameter(help="Say where each value came from.", negative="")] = False,
    options: Options = DEFAULTS,
) -> None:
    """Show every setting as it is in force; secrets are hidden.

    Example: p2pseq config show --origin --set log.level=debug
    """
    from p2p_seq.node.config import shown_values, toml_value

    loaded = load(options)
    values = shown_values(loaded)
    values["node.home"] = str(loaded.home)
    if options.json:
        answer_json(
            {
                path: {"value": value, "origin": loaded.origins[path]}
                for path, value in values.items()
            }
            if origin
            else values
        )
        return
    section = ""
    for path, value in values.items():
        heading, name = path.split(".")
        if heading != section:
            print(f"{'' if not section else chr(10)}[{heading}]")
            section = heading
        line = f"{name} = {toml_value(value)}"
        print(f"{line:<48} # {loaded.origins[path]}" if origin else line)


@app.command
def check(*, options: Options = DEFAULTS) -> None:
    """Check the configuration and the network file it names, without starting anything.

    Example: p2pseq config check --home /var/lib/p2pseq
    """
    from p2p_seq.node.config import network_file
    from p2p_seq.observability.logs import parse_levels
    from p2p_seq.protocol.params import load_params

    loaded = load(options)
    parse_levels(loaded.config.log.level)
    params = load_params(network_file(loaded.config.node.network))
    if options.json:
        answer_json({"valid": True, "home": str(loaded.home), "network": params.network})
    else:
        print(f"valid: {loaded.config.node.role} of network {params.network} in {loaded.home}")
