"""Measures an exported animation model on held-out identities, driven exactly as the node drives it.

Role: reads the folder of portrait_export.py (f16, M's own reading of the source, controls, both retargeting networks)
and compares what it makes with the drawing's own answer: mouth and eye openings as seen on the frames, identity,
background, neck.
Inputs: --weights, the exported folder; portraits.py draws sources and answers.
Outputs: figures on the terminal; --strips, a picture: per identity the source, the answers and what was made.
"""
import argparse
import json
import time

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

import portrait_data as data
import portrait_face as face
import portrait_nets as nets
from portrait_export import FILES, RETARGETING
from portraits import render

SOURCE_LIPS = .1  # as in the node
DRIVES = {
    "rest": {}, "closed": dict(lips=-45.), "half": dict(lips=45.), "open": dict(lips=92.),
    "wide": dict(lips=30., grin=10.), "round": dict(lips=30., purse=12., pout=.07), "blink": dict(eyes=0.),
    "half lid": dict(eyes=.2), "smile": dict(smile=1.), "brow": dict(brow=25.), "gaze": dict(gaze_x=20.),
    "turn left": dict(yaw=-12.), "turn right": dict(yaw=12., lips=60.), "nod": dict(pitch=-9.), "tilt": dict(roll=9.),
}


class Exported:
    """The model as the node sees it."""

    def __init__(self, folder):
        with open(f"{folder}/config.json") as file:
            p = json.load(file)["model_params"]
        load = lambda name: {key: value.float() if value.is_floating_point() else value for key, value in load_file(f"{folder}/{name}.safetensors").items()}
        self.nets = dict(F=nets.Appearance(p["appearance_feature_extractor_params"]), M=nets.Motion(p["motion_extractor_params"]),
                         W=nets.Warping(p["warping_module_params"]), G=nets.Generator(p["spade_generator_params"]))
        for name, net in self.nets.items():
            net.load_state_dict({key.removeprefix("detector."): value for key, value in nets.unpublished(load(FILES[name])).items()})
            net.eval()
        state = load("stitching_retargeting_module")
        for which, prefix in RETARGETING.items():
            self.nets[which] = nets.Perceptron(p["stitching_retargeting_module_params"][which])
            start = f"{prefix}.module."
            self.nets[which].load_state_dict({key.removeprefix(start): value for key, value in state.items() if key.startswith(start)})

    def read(self, picture):
        out = self.nets["M"](picture)
        angles = torch.stack([nets.degrees(out[name]) for name in ("pitch", "yaw", "roll")], 1)
        return dict(canonical=out["kp"].view(-1, face.POINTS, 3), angles=angles, expression=out["exp"].view(-1, face.POINTS, 3),
                    size=out["scale"][:, 0], shift=out["t"])

    def drive(self, motion, drives):
        """Source and driving key points of one source for some drives."""
        of = nets.place(motion["canonical"], motion["angles"], motion["expression"], motion["size"], motion["shift"])
        to = []
        for drive in drives:
            turned = motion["angles"] + torch.tensor([[drive["pitch"], drive["yaw"], drive["roll"]]])
            expression = motion["expression"] + torch.from_numpy(face.additions(drive))
            points = nets.place(motion["canonical"], turned, expression, motion["size"] * drive["scale"], motion["shift"])
            if drive["eyes"] != face.OWN_EYES:
                ratios = torch.tensor([[face.OWN_EYES, face.OWN_EYES, drive["eyes"]]])
                points = points + self.nets["eye"](torch.cat([of.flatten(1), ratios], 1)).view(points.shape)
            if drive["lips"] < 0:
                ratios = torch.tensor([[SOURCE_LIPS, SOURCE_LIPS * max(0., 1 + drive["lips"] / face.LIPS_TOUCH)]])
                points = points + self.nets["lip"](torch.cat([of.flatten(1), ratios], 1)).view(points.shape)
            correction = self.nets["stitching"](torch.cat([of.flatten(1), points.flatten(1)], 1))
            points = points + correction[:, :-2].view(points.shape)
            to.append(points + torch.nn.functional.pad(correction[:, -2:], (0, 1))[:, None])
        return of, torch.cat(to)

    def frames(self, picture, drives):
        of, to = self.drive(self.read(picture), drives)
        feature = self.nets["F"](picture)
        made = [self.nets["G"](self.nets["W"](feature, of, points[None])[0]) for points in to]
        return torch.cat(made)


def window(B, x, y):
    """Pixels of a picture of `B` within |x| .. and y .. of its head, in head units: a mask (256, 256)."""
    axis = (np.arange(data.SIDE) + .5) / data.SIDE * 2 - 1
    dx, dy = (axis[None] - B["tx"]) / (face.HEAD * B["scale"]), (axis[:, None] - B["ty"] - face.CENTRE_Y) / (face.HEAD * B["scale"])
    roll = np.radians(B["roll"])
    fx, fy = dx * np.cos(roll) + dy * np.sin(roll), dy * np.cos(roll) - dx * np.sin(roll)
    return (np.abs(fx) >= x[0]) & (np.abs(fx) <= x[1]) & (fy >= y[0]) & (fy <= y[1])


MOUTHS = np.linspace(0, 1, 11)
SHUT, MOUTH_OPEN = .1, .45  # of a mouth's opening, 0 to 1


def mouth_opening(picture, drawings, B):
    """How far the mouth is open, 0 to 1: as in the drawing that the mouth's window resembles most, among `MOUTHS`."""
    shift = face.HEAD * B["scale"] * .8 * np.sin(np.radians(B["yaw"])), -face.HEAD * B["scale"] * .8 * np.sin(np.radians(B["pitch"]))
    mask = window(dict(B, tx=B["tx"] + shift[0], ty=B["ty"] + shift[1]), (0, .4), (.25, .95))
    away = [np.abs(picture - drawing)[mask].mean() for drawing in drawings]
    return float(MOUTHS[int(np.argmin(away))])


def mouths_of(B):
    """The drawing of `B` with every opening."""
    return [np.asarray(render(dict(B, mouth=float(mouth)))).astype(np.float32) for mouth in MOUTHS]


def eye_opening(picture, B):
    """Share of the eyes' window that is as light as the white of eyes."""
    at = dict(B, tx=B["tx"] + face.HEAD * .75 * np.sin(np.radians(B["yaw"])), ty=B["ty"] - face.HEAD * .75 * np.sin(np.radians(B["pitch"])))
    mask = window(at, (.1, .65), (-.4, .22))
    return float(((picture.min(-1) > 185) & mask).sum() / mask.sum())


def measure(model, identities):
    """Rows of figures, and strips of pictures."""
    rows, strips = [], []
    for index in range(identities):
        A, _ = data.source(data.FIRST_SEED["test"] + index)
        source = np.asarray(render(A))
        drives = [dict(face.NO_DRIVE, **change) for change in DRIVES.values()]
        picture = torch.from_numpy(source.copy()).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            made = (model.frames(picture, drives).clamp(0, 1) * 255).permute(0, 2, 3, 1).numpy()
        answers = []
        for name, drive, frame in zip(DRIVES, drives, made):
            B = face.driven(A, drive)
            answer = np.asarray(render(B)).astype(np.float32)
            answers.append(answer)
            mouths = mouths_of(B)
            away = ~window(B, (0, 1.5), (-2.2, 1.2)) & ~window(B, (0, 3), (.9, 3))
            difference = np.abs(frame - answer).mean(-1)
            neck = window(dict(B, roll=0), (0, .4), (1.02, 1.4))
            rows.append(dict(
                name=name, hidden=A["glasses"] == "sunglasses", eyes=A["eyes"], skin=A["skin"], kind=A["kind"],
                mouth=(mouth_opening(frame, mouths, B), mouth_opening(answer, mouths, B)), eye=(eye_opening(frame, B), eye_opening(answer, B)),
                psnr=-10 * np.log10(((frame - answer) ** 2).mean() / 255 ** 2), source=np.abs(frame - source).mean(),
                background=difference[away].mean(), neck=difference[neck].mean()))
        strips.append(np.concatenate([np.concatenate([source, *answers], 1), np.concatenate([source, *made], 1)], 0))
    return rows, np.concatenate(strips).clip(0, 255).astype(np.uint8)


def report(rows):
    of = lambda key, *names: np.array([row[key] for row in rows if row["name"] in names or not names], dtype=float)
    print(f"PSNR {of('psnr').mean():.2f} dB, at rest {of('psnr', 'rest').mean():.2f} dB; L1 to the source at rest "
          f"{of('source', 'rest').mean():.2f} of 255; background {of('background').mean():.2f}, neck {of('neck').mean():.2f} of 255")
    for name in ("closed", "half", "open", "round", "wide", "turn right"):
        made, asked = of("mouth", name).T
        print(f"mouth, {name}: made {made.mean():.2f} open (most {made.max():.1f}), answer {asked.mean():.2f}")
    made, asked = of("mouth", "closed", "half", "open", "turn right").T
    print(f"mouth, correlation with the answer {np.corrcoef(made, asked)[0, 1]:.3f}, mean error {np.abs(made - asked).mean():.2f}; "
          f"asked to shut and shut: {(of('mouth', 'closed')[:, 0] <= SHUT).mean():.0%}; asked to open and open: "
          f"{(of('mouth', 'open')[:, 0] >= MOUTH_OPEN).mean():.0%}")
    clear = [row for row in rows if not row["hidden"] and row["skin"] not in ("white", "pale")]
    for name in ("rest", "half lid", "blink"):
        made, asked = np.array([row["eye"] for row in clear if row["name"] == name]).T
        print(f"eyes, {name}: light share made {made.mean():.3f}, answer {asked.mean():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", default="out/portrait")
    parser.add_argument("--identities", type=int, default=24)
    parser.add_argument("--strips", default="strips.png")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = Exported(args.weights)
    picture = torch.rand(1, 3, data.SIDE, data.SIDE)
    with torch.no_grad():
        of, to = model.drive(model.read(picture), [face.NO_DRIVE])
        feature = model.nets["F"](picture)
        with FlopCounterMode(display=False) as counter:
            model.nets["G"](model.nets["W"](feature, of, to)[0])
        begun = time.process_time()
        model.nets["G"](model.nets["W"](feature, of, to)[0])
    print(f"a frame: {counter.get_total_flops() / 1e9:.2f} GFLOP, {time.process_time() - begun:.3f} CPU seconds here")
    rows, strips = measure(model, args.identities)
    report(rows)
    picture = Image.fromarray(strips)
    picture.resize((picture.width // 2, picture.height // 2), Image.LANCZOS).save(args.strips)


if __name__ == "__main__":
    main()
