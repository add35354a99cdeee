"""How good a finished demo bundle is: one command, figures of pictures, checks, animation, videos and speech, sheets to
look at.

python quality.py --bundle .. --out out/quality [--only image,portrait,video,speech]

in:  a bundle as `bundle.py` writes it; for the videos, the node (`cargo build --release`) and ffmpeg; for the speech,
     `--speech-run` and `--speech-cache` of its training
out: OUT/quality.txt (what the reports say), their figures as JSON, contact sheet, film strips

Reads the very files that ship: what is measured here is what people get.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = ("image", "portrait", "video", "speech")


def image_layout(bundle, place):
    """The folder names of `image/export.py`, as links into the bundle."""
    for name, folder in (("flux", "flux"), ("clip_b", "clip-b"), ("clip_l", "clip-l")):
        os.symlink(bundle / folder, place / name)


def command(part, given, links):
    """What measures one part, and what it needs in its environment."""
    out = str(given.out)
    if part == "image":
        return [str(HERE / "report.py"), "--weights", links, "--out", out, "--count", str(given.count)]
    if part == "portrait":
        return [str(HERE / "portrait_eval.py"), "--weights", str(given.bundle / "liveportrait"), "--strips",
                f"{out}/strips.png"]
    if part == "video":
        return [str(HERE / "video_report.py"), "--bundle", str(given.bundle), "--node", str(given.node), "--out", out]
    return [str(HERE / "speech_report.py"), "--run", str(given.speech_run), "--cache", str(given.speech_cache), "--out",
            out, "--lines", str(given.lines)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bundle", type=Path, default=HERE.parent)
    parser.add_argument("--out", type=Path, default=Path("out/quality"))
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--count", type=int, default=200, help="held-out captions")
    parser.add_argument("--lines", type=int, default=50, help="held-out lines of speech")
    parser.add_argument("--node", type=Path, default=HERE.parents[3] / "target/release/vortex-node")
    parser.add_argument("--speech-run", type=Path, default=Path("run"))
    parser.add_argument("--speech-cache", type=Path, default=Path("cache"))
    given = parser.parse_args()
    parts = given.only.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"--only {','.join(unknown)}: accepted are {', '.join(PARTS)}")
    if not (given.bundle / "bundle.toml").exists():
        parser.error(f"--bundle {given.bundle}: no bundle.toml is there; bundle.py makes one")
    given.bundle, given.out, given.node = (path.resolve() for path in (given.bundle, given.out, given.node))
    given.out.mkdir(parents=True, exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory() as links, open(given.out / "quality.txt", "w", encoding="utf-8") as said:
        image_layout(given.bundle, Path(links))
        for part in parts:
            ran = subprocess.Popen([sys.executable, *command(part, given, links)], stdout=subprocess.PIPE, text=True)
            for line in ran.stdout:
                print(line, end="", flush=True)
                said.write(line)
            if ran.wait():
                failed.append(part)
    if failed:
        raise SystemExit(f"no figures for {', '.join(failed)}")


if __name__ == "__main__":
    main()
