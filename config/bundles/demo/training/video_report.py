"""Does the face speak? Renders slots with the node and a bundle, and measures their frames against what was said when.

python video_report.py --node ../../../../target/release/vortex-node --out out/quality

in:  the node's binary, a bundle; ffmpeg
out: OUT/video/NAME (what the node rendered), OUT/video.json, OUT/video-NAME.png (every sixth frame), figures on the screen

Mouth: the height of its inside (dark red, tongue) in a frame, less what the stillest frames show of such colours, against
the phonemes that the node's own journal has for that moment: lips shut on b, m, p, open on vowels. Eyes: dips of what is
as light as the white of eyes. Head: its turns as the bundle's own M reads them (about a degree off). Face and ground: how
alike the frames' colours are to the painted portrait's, and how far the picture's sides stray from theirs.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from common import sheet, write_json
from portrait_eval import Exported

HERE = Path(__file__).resolve().parent
REJECTED = 1  # the node's exit code when the video is made and its own check refuses it
CLOSED, OPEN = "bpm", "ɑaæʌɔɛɜAIWOY"
INSIDE = ((112, 28, 44), (232, 96, 104))  # as `portraits/features.py` draws it
SLOTS = dict(
    alien=("a green alien with one big eye and a red hat on a blue background", "af_sarah", "excited", "gentle_nod"),
    robot=("a blue robot with three eyes on a yellow background", "am_adam", "calm", "slow_sway"),
    cat=("a white cat with a green hat and a blue shirt on a purple background", "af_nova", "neutral", "emphatic"),
    person=("a pale person with short black hair and green eyes wearing a yellow shirt on a gray background", "am_onyx",
            "neutral", "gentle_nod"))
SCRIPT = "My mama baked a big apple pie. Papa bought more warm pumpkin bread, but Bob ate it all up!"


def render(node, bundle, folder, number, slot, seconds):
    prompt, voice, emotion, motion = slot
    recipe = dict(
        recipe_id=f"00000000-0000-4000-8000-{number:012d}", version="2.0.0",
        slot_params=dict(slot_number=number, duration_sec=seconds, resolution="512x512", fps=24),
        audio_track=dict(script=SCRIPT, voice_id=voice, speed=1.0, emotion=emotion),
        visual_track=dict(prompt=prompt, negative_prompt="", motion_preset=motion, expression_sequence=["neutral"],
                          camera_motion="none"),
        semantic_constraints=dict(banned_concepts=[], required_concepts=[]))
    path = f"{folder}.recipe.json"
    write_json(path, recipe)
    command = [node, "render", path, "-o", folder, "--bundle", bundle, "--data-dir", folder.parent / "data"]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode not in (0, REJECTED):
        raise SystemExit(f"{node} render {path}: exit {ran.returncode}\n{ran.stderr[-2000:]}")


def frames_of(video, side=256):
    """(N, side, side, 3) floats."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", video, "-vf", f"scale={side}:{side}:flags=area", "-f", "rawvideo",
                          "-pix_fmt", "rgb24", "-"], check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, side, side, 3).astype(np.float32)


def openings(frames):
    """Height in pixels of the mouth's inside, frame by frame."""
    middle = frames[:, 110:215, 78:178]
    inside = np.zeros(middle.shape[:3], bool)
    for colour in INSIDE:
        inside |= np.abs(middle - np.array(colour)).max(-1) < 48
    columns = np.sort(inside.sum(1), axis=1)[:, -6:].mean(1)
    return columns - np.percentile(columns, 5)


def spoken(timeline, fps, rate, symbols, count):
    """Frames of every phoneme among `symbols`, one slice each."""
    for phoneme in timeline["phonemes"]:
        if phoneme["symbol"] in symbols:
            first = int(phoneme["start"] / rate * fps)
            last = max(first + 1, int(np.ceil(phoneme["end"] / rate * fps)))
            if last < count:
                yield slice(first, last)


def blinks(frames):
    """How often what is as light as the white of eyes falls below half of its usual share, and rises again."""
    light = (frames[:, 85:150, 70:186].min(-1) > 185).mean((1, 2))
    light = light - light.min()
    shut = light < .5 * np.median(light)
    return int((shut[1:] & ~shut[:-1]).sum())


@torch.no_grad()
def turns(reader, frames):
    """How far the head turns: the largest span of pitch, yaw and roll over the frames, in degrees, as M reads them."""
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    angles = torch.cat([reader.read(part)["angles"] for part in pictures.split(8)])
    return float((angles.amax(0) - angles.amin(0)).max())


def colours(frame):
    index = (frame // 64).astype(int) @ np.array([16, 4, 1])
    return np.bincount(index.ravel(), minlength=64) / index.size


def measure(folder, reader):
    result = json.loads((folder / "result.json").read_text())
    timeline = json.loads((folder / "journal/audio.json").read_text())["record"]["timeline"]
    frames, fps = frames_of(folder / "video.mp4"), result["frames"]["fps"]
    portrait = np.asarray(Image.open(folder / "actor.png").convert("RGB").resize(frames.shape[1:3], Image.BOX)).astype(np.float32)
    rate, opening = 24_000, openings(frames)
    shut = [opening[part].min() for part in spoken(timeline, fps, rate, CLOSED, len(frames))]
    wide = [opening[part].max() for part in spoken(timeline, fps, rate, OPEN, len(frames))]
    seen, usual = np.array([colours(frame) for frame in frames[::6]]), colours(portrait)
    sides = np.concatenate([frames[:, :200, :12], frames[:, :200, -12:]], 2)
    still = np.concatenate([portrait[:200, :12], portrait[:200, -12:]], 1)
    return frames, dict(
        closures=len(shut), vowels=len(wide), shut_pixels=round(float(np.mean(shut)), 2), open_pixels=round(float(np.mean(wide)), 2),
        shut_below_a_third=round(float(np.mean(np.array(shut) < np.mean(wide) / 3)), 3),
        blinks=blinks(frames), seconds=round(len(frames) / fps, 2), head_turns=round(turns(reader, frames[::4]), 1),
        colours_kept=round(float(np.minimum(seen, usual).sum(1).min()), 3),
        sides_stray=round(float(np.abs(sides - still).mean((1, 2, 3)).max()), 2),
        passed=result["verification"]["passed"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--node", default=str(HERE.parents[3] / "target/release/vortex-node"))
    parser.add_argument("--bundle", default=str(HERE.parent))
    parser.add_argument("--out", type=Path, default=Path("out/quality"))
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--measure-only", action="store_true", help="what is already in OUT/video")
    args = parser.parse_args()
    os.makedirs(args.out / "video", exist_ok=True)
    figures, reader = {}, Exported(f"{args.bundle}/liveportrait")
    for number, (name, slot) in enumerate(SLOTS.items(), 1):
        folder = args.out / "video" / name
        if not args.measure_only:
            render(args.node, args.bundle, folder, number, slot, args.seconds)
        frames, figures[name] = measure(folder, reader)
        sheet(args.out / f"video-{name}.png", frames[::6].astype(np.uint8))
        print(f"{name}:", ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures[name].items()), flush=True)
    write_json(args.out / "video.json", figures)


if __name__ == "__main__":
    main()
