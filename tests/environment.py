"""A virtual environment of its own that sees this one's packages: nothing is downloaded.

Holds no tests; tests load it by its path, for they are no package.
"""

from __future__ import annotations

import os
import site
import stat
import subprocess
import venv
from pathlib import Path

SCRIPTS = {
    "dope": "from dope.cli import main; main()",
    "pip": "import sys; from pip._internal.cli.main import main; sys.exit(main())",
    "pytest": "import sys, pytest; sys.exit(pytest.console_main())",
}


class Environment:
    """Commands in a new virtual environment, as somebody would type them.

    What is installed goes into it and not into the environment of the tests. pip finds there all
    that it needs, hatchling too, and asks no index.

    Parameters
    ----------
    folder
        Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        venv.create(folder, with_pip=False)
        (own,) = folder.glob("lib/python3*/site-packages")
        lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
        (own / "host.pth").write_text("\n".join(lines) + "\n")
        for name, code in SCRIPTS.items():
            script = self.bin / name
            script.write_text(f"#!{self.bin / 'python'}\n{code}\n")
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
        self.variables = {
            **inherited,
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "VIRTUAL_ENV": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the other way round
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "COLUMNS": "100",
        }

    def sh(self, script: str, folder: Path, seconds: float = 300) -> subprocess.CompletedProcess:
        """Run a shell script that ends at its first failure; both streams come as one."""
        return subprocess.run(
            ["sh", "-ec", script],
            cwd=folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
