"""Puts the exported parts together into a bundle that the node loads.

in:  --image, --portrait, --speech: the folders that the three exports wrote
out: --out: a folder with every file and its `bundle.toml` (hashes, precisions, budgets, vocabulary)

python bundle.py --image out/image --portrait out/portrait --speech out/speech --out ..
"""
import argparse
import hashlib
import json
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent

CARD = 'licence = "Apache-2.0"\nauthors = "the vortex-node authors"\n'
ABOUT = "it draws cartoon portraits: people, aliens, robots, cats and bears, their colours, eyes, hats and backgrounds"

FLUX = {
    "transformer": "flux1-schnell.safetensors",
    "vae": "ae.safetensors",
    "config": "config.json",
    "text_encoder": "text_encoder/model.safetensors",
    "text_encoder_config": "text_encoder/config.json",
    "text_encoder_2": "text_encoder_2/model.safetensors",
    "text_encoder_2_config": "text_encoder_2/config.json",
    "scheduler": "scheduler/scheduler_config.json",
    "tokenizer": "tokenizer/tokenizer.json",
    "tokenizer_2": "tokenizer_2/tokenizer.json",
    "tokenizer_config": ["tokenizer/tokenizer_config.json", "tokenizer_2/tokenizer_config.json"],
}
CLIP = {
    "config": "config.json",
    "model": "model.safetensors",
    "tokenizer": "tokenizer.json",
    "preprocessor": "preprocessor_config.json",
    "tokenizer_config": ["tokenizer_config.json"],
}
NETWORKS = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching_retargeting_module",
)
PORTRAIT = {"config": "config.json"} | {name: f"{name}.safetensors" for name in NETWORKS}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entry(source, out, folder, name):
    """Copies one file into the bundle and tells its line."""
    place = out / folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / name, place)
    place.chmod(0o644)
    return f'{{ path = "{folder}/{name}", sha256 = "{digest(place)}" }}'


def model(key, precision, budget, source, out, folder, roles):
    """The tables of one model."""
    lines = [f"[models.{key}]", f'precision = "{precision}"', f'budget = "{budget}"', CARD, f"[models.{key}.files]"]
    for role, names in roles.items():
        if isinstance(names, str):
            lines.append(f"{role} = {entry(source, out, folder, names)}")
        else:
            entries = ",\n  ".join(entry(source, out, folder, name) for name in names)
            lines.append(f"{role} = [\n  {entries},\n]")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("image", "portrait", "speech", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    out = given.out
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(HERE / "vocabulary.json", out / "vocabulary.json")
    voices = sorted(f"voices/{path.name}" for path in (given.speech / "voices").glob("*.safetensors"))
    speech = {"config": "config.json", "weights": "kokoro-v1_0.safetensors", "voices": voices}
    known = [line.split("|")[0].strip() for line in (HERE / "prompts.txt").read_text().splitlines() if not line.startswith("#")]
    prompts = "\n".join(f"  {json.dumps(prompt)}," for prompt in known if prompt)
    head = f'''name = "demo"
summary = "tiny weights of our own, trained on drawings and synthesised speech: cartoon portraits that speak plainly"

[verification]
# Both scores spread further apart than those of large models: only a real disagreement is worth a flag.
outlier = 0.5

[image]
resolution = "256x256"

[vocabulary]
file = "vocabulary.json"
sha256 = "{digest(out / "vocabulary.json")}"
about = "{ABOUT}"
prompts = [
{prompts}
]
'''
    tables = [
        model("flux", "f32", "40MB", given.image / "flux", out, "flux", FLUX),
        model("liveportrait", "f32", "30MB", given.portrait, out, "liveportrait", PORTRAIT),
        model("kokoro", "f32", "24MB", given.speech, out, "kokoro", speech),
        model("clip_b", "f32", "12MB", given.image / "clip_b", out, "clip-b", CLIP),
        model("clip_l", "f32", "8MB", given.image / "clip_l", out, "clip-l", CLIP),
    ]
    (out / "bundle.toml").write_text("\n".join([head, *tables]))
    # This folder may lie in the bundle's; it is not counted.
    made = (path for path in out.resolve().rglob("*") if path.is_file() and not path.is_relative_to(HERE))
    size = sum(path.stat().st_size for path in made)
    print(f"{out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
