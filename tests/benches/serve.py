"""The same five stages on Ray Serve, for `cargo bench --bench serve -- --against URL`.

`pip install "ray[serve]"`, then `python tests/benches/serve.py [after|before]`: whether a slot is answered after its five
stages, as Ray's own callers see it, or before them, with the stages as a task in the background. Neither keeps anything
on a disk: what a node of Ray's accepted is lost with its process.
"""

import asyncio
import sys
import time

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse


def stage(name):
    """A deployment that costs nothing but its call."""

    class Stage:
        async def __call__(self, *inputs):
            return {"stage": name, "inputs": len(inputs)}

    return serve.deployment(name=name, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})(Stage).bind()


@serve.deployment(name="slots", max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Slots:
    def __init__(self, before, audio, image, video, verify, package):
        self.before, self.tasks = before, set()
        self.stages = audio, image, video, verify, package

    async def render(self, recipe):
        audio, image, video, verify, package = self.stages
        sound, picture = await asyncio.gather(audio.remote(recipe), image.remote(recipe))
        frames = await video.remote(sound, picture)
        verdict = await verify.remote(frames)
        return await package.remote(sound, frames, verdict)

    async def __call__(self, request: Request):
        recipe = await request.json()
        work = asyncio.ensure_future(self.render(recipe))
        if self.before:
            self.tasks.add(work)
            work.add_done_callback(self.tasks.discard)
        else:
            await work
        return JSONResponse({"id": recipe["recipe_id"], "state": "queued"}, status_code=202)


def main():
    before = sys.argv[1:] == ["before"]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": 8765})
    stages = [stage(name) for name in ("audio", "image", "video", "verify", "package")]
    serve.run(Slots.bind(before, *stages), route_prefix="/")
    print(f"ray {ray.__version__} serves at http://127.0.0.1:8765", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
