"""Check this installation and its home or, with --data, a data source.

A data source is checked for which datasets it has, and whether every row can be read.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from study.cli_parser import Parser, home_of, names_of, print_json, run_verb
from study.diagnostics.datasets import check_data
from study.diagnostics.environment import Check, check_all
from study.diagnostics.tables import print_checks, print_findings
from study.sanitize import SafeConsole
from trainables.catalogue import DATASETS, dataset
from trainables.errors import BadInput
from trainables.sources import open_source


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status: 1 if a check finds something broken."""
    parser = Parser("doctor", __doc__)
    parser.add_argument("--data", help="the source to check: pocket, mirror:FOLDER, hub, or A+B")
    parser.add_argument("--datasets", help="only these, comma-separated (default: the whole catalogue)")
    parser.add_argument(
        "--read", action="store_true", help="also download and read rows of the hub, not only its file lists"
    )
    parser.add_argument("--encoder", help="installation: check that this encoder is available (default: pocket)")
    parser.add_argument("--address", help="installation: check that a Ray cluster answers at this address")
    parser.add_argument("--mlflow-uri", help="installation: MLflow server or store to check (default: the home's)")
    parser.add_argument("--ray", action="store_true", help="installation: start Ray, or join --address")
    options = parser.parse_args(argv)
    if not (options.data or options.datasets or options.read):
        return _installation(options)
    for name in ("encoder", "address", "mlflow_uri", "ray"):
        if getattr(options, name):
            raise BadInput(f"--{name.replace('_', '-')} checks the installation: omit --data, --datasets and --read")
    return _data(options)


def _installation(options: argparse.Namespace) -> int:
    try:
        home = home_of(options)
    except BadInput as error:
        found = [Check("home", "broken", str(error), "choose another --home")]
    else:
        asked = {"encoder": options.encoder or "pocket", "address": options.address, "mlflow_uri": options.mlflow_uri}
        found = check_all(home, **asked, ray=options.ray)
    if options.json:
        print_json({"checks": [check.to_dict() for check in found]})
    else:
        print_checks(found, SafeConsole(highlight=False))
    return 1 if any(check.state == "broken" for check in found) else 0


def _data(options: argparse.Namespace) -> int:
    names = names_of(options.datasets)
    datasets = [dataset(name) for name in names] if names else list(DATASETS.values())
    source = open_source(options.data or "pocket")
    found = check_data(source, datasets, read_hub=options.read)
    unread = source.unread()
    if options.json:
        print_json({"source": source.spec, "unread": list(unread), "datasets": [f.to_dict() for f in found]})
    else:
        print_findings(found, unread, SafeConsole(highlight=False))
    return 1 if any(f.state == "broken" for f in found) else 0


if __name__ == "__main__":
    run_verb(main)
