"""Makes the Python of the .proto files that stand beside this one: `make proto`, and `--check` for CI."""

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent


def generate(target: Path) -> None:
    """Write messages and their types for every .proto file.

    Args:
        target: The folder that gets a folder `proto`.

    Raises:
        SystemExit: A file cannot be compiled; the compiler has said why.
    """
    sources = sorted(str(path.relative_to(HERE.parent)) for path in HERE.glob("*.proto"))
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    arguments = [
        "protoc",
        f"-I{HERE.parent}",
        f"--plugin=protoc-gen-mypy={plugin}",
        f"--python_out={target}",
        f"--mypy_out=quiet:{target}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit(1)


def drift(made: Path) -> list[str]:
    """Names of generated files that differ from what the .proto files make.

    Args:
        made: A folder with freshly made files.
    """
    fresh = {path.name for path in made.iterdir()}
    kept = {path.name for path in HERE.glob("*_pb2.py*")}
    differing = [name for name in fresh & kept if not filecmp.cmp(made / name, HERE / name, shallow=False)]
    return sorted([*(fresh ^ kept), *differing])


def main() -> int:
    """Generate, or check that what is kept was generated from what is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on drift")
    if not parser.parse_args().check:
        generate(HERE.parent)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        names = drift(Path(folder) / "proto")
    if names:
        sys.exit(f"generated files are not those of the .proto files, run `make proto`: {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
