"""Problems with images: from data files through prompts, training and evaluation of small image-text models."""

import base64
import importlib.util
import io
import json
import re
from collections import Counter

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import ProcessorMixin

from models import IMAGE_TEXT_ARCHITECTURES, QWEN, save_image_text_model, save_qwen2
from paths import DATA
from spine_rl import SpineConfig, SpineTrainer
from spine_rl.diagnose.rollouts import draw_rollouts
from spine_rl.diagnose.token_scores import score_tokens
from spine_rl.diagnose.validate_forks import validate_forks
from spine_rl.engine.models import get_vision_tower, load_model_and_tokenizer
from spine_rl.engine.processing import OncePerPrompt
from spine_rl.engine.samplers import Decoding, TransformersSampler
from spine_rl.errors import DataError
from spine_rl.evaluation.grading import make_answer_sheet
from spine_rl.problems import (
    Problem,
    PromptStyle,
    build_prompt,
    build_text_prompts,
    check_images,
    load_problems,
    open_image,
    order_images,
)
from spine_rl.problems.placeholders import place_images
from spine_rl.problems.visual_prompts import encode_visual_prompts, prepare_visual_prompts, render_visual_prompt
from spine_rl.training.problem_dataset import build_dataset
from spine_rl.training.vision import adapt_language_only, count_pixel_rows


def picture(color="red", size=(12, 8), mode="RGB"):
    return Image.new(mode, size, color)


def to_bytes(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(folder, *rows):
    (folder / "a.png").write_bytes(to_bytes(picture()))
    (folder / "b.jpg").write_bytes(to_bytes(picture("blue"), "JPEG"))
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps({"prompt": "What?", "answer": "1"} | row) + "\n" for row in rows))
    return str(path)


# ---- reading


def test_columns_hold_paths_base64_and_several_images(tmp_path):
    coded = base64.b64encode(to_bytes(picture())).decode()
    rows = [
        {"image": "a.png"},
        {"images": ["a.png", "b.jpg"]},
        {"image": coded},
        {"image": "data:image/png;base64," + coded},
        {"image": {"bytes": None, "path": "a.png"}},
        {"image": None, "images": []},
    ]
    problems = load_problems(write(tmp_path, *rows)).problems
    assert [len(problem.images) for problem in problems] == [1, 2, 1, 1, 1, 0]
    colors = [[open_image(image).getpixel((0, 0)) for image in problem.images] for problem in problems]
    assert colors[0] == colors[2] == colors[3] == colors[4] == [(255, 0, 0)]
    assert colors[1][1][2] > 250


def test_rows_of_the_hub_and_of_parquet_hold_bytes_and_pil_images(tmp_path):
    import pyarrow
    import pyarrow.parquet

    from spine_rl.problems.images import ImageOptions, find_images

    path = tmp_path / "data.parquet"
    table = pyarrow.table({"prompt": ["?", "?"], "image": [{"bytes": to_bytes(picture()), "path": "a.png"}] * 2})
    pyarrow.parquet.write_table(table, path)
    assert open_image(load_problems(str(path)).problems[1].images[0]).size == (12, 8)
    cells = [picture(), to_bytes(picture()), {"bytes": to_bytes(picture()), "path": None}, picture(mode="CMYK")]
    assert len([open_image(image) for image in find_images("row 1", cells, ImageOptions())]) == 4
    with pytest.raises(DataError, match=r"row 1: image 'a.png' is only a name; get the data set's image files"):
        find_images("row 1", "a.png", ImageOptions())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "none.png"}, r"data.jsonl, line 2: no image .*none.png; copy it there"),
        ({"image": "broken.png"}, r"line 2: image .*broken.png cannot be opened .*; replace it"),
        ({"image": "cut.png"}, r"line 2: image .*cut.png cannot be opened .*; replace it"),
        ({"image": "odd.dds"}, r"line 2: image .*odd.dds cannot be opened .*; replace it"),
        ({"image": "bomb.png"}, r"line 2: image .*bomb.png has more than 1000 pixels, too many to open safely"),
        ({"image": "https://x.org/a.png"}, r"line 2: image https://x.org/a.png is a URL; .*--allow-image-urls"),
        ({"image": "data:image/png;base64,@@"}, r"line 2: image number 1 is neither a file nor valid base64"),
        ({"images": ["a.png", 3]}, r"line 2: image number 2 must be a path, base64, bytes .*, got a number"),
        ({"image": "a.png", "prompt": "<image1> <image2>"}, r"line 2: placeholder <image2> has no image"),
        ({"image": "a.png", "prompt": "<image><image>"}, r"line 2: placeholder <image> has no image"),
    ],
)
def test_what_is_wrong_with_an_image_names_row_and_file(tmp_path, monkeypatch, row, message):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    noise = Image.effect_noise((40, 20), 50)
    (tmp_path / "cut.png").write_bytes(to_bytes(noise)[:200])
    drawing = to_bytes(picture(), "DDS")
    (tmp_path / "odd.dds").write_bytes(drawing[:80] + bytes(4) + drawing[84:])  # its pixels have no format
    (tmp_path / "bomb.png").write_bytes(to_bytes(picture(size=(41, 25))))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    path = write(tmp_path, {"image": "a.png"}, row)
    with pytest.raises(DataError, match=message) as caught:
        check_images(image for problem in load_problems(path).problems for image in problem.images)
    assert "\n" not in str(caught.value)


def test_a_url_that_is_none_is_told():
    from spine_rl.problems.images import ImageOptions, find_images

    with pytest.raises(
        DataError, match=r"row 1: image http://localhost:a/x.png cannot be downloaded \(nonnumeric port"
    ):
        find_images("row 1", "http://localhost:a/x.png", ImageOptions(allow_urls=True))


def test_large_images_are_scaled_down_and_transparent_ones_stand_on_white(tmp_path):
    from datasets import Dataset, Features
    from datasets import Image as ImageColumn

    from spine_rl.problems.images import encode_image

    (tmp_path / "big.png").write_bytes(to_bytes(picture(size=(200, 100))))
    (tmp_path / "clear.png").write_bytes(to_bytes(picture((0, 0, 0, 0), mode="RGBA")))
    turned = Image.Exif()
    turned[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(to_bytes(picture(), "JPEG", exif=turned))
    path = write(tmp_path, *({"image": name} for name in ("big.png", "clear.png", "turned.jpg", "a.png")))
    images = [problem.images[0] for problem in load_problems(path, max_image_pixels=5000).problems]
    opened = [open_image(image) for image in images]
    assert [image.size for image in opened] == [(100, 50), (12, 8), (8, 12), (12, 8)]
    assert opened[1].getpixel((0, 0)) == (255, 255, 255)
    cells = Dataset.from_dict(
        {"image": [encode_image(image) for image in images]}, features=Features({"image": ImageColumn(mode="RGB")})
    )
    assert [image.tobytes() for image in cells["image"]] == [image.tobytes() for image in opened]
    assert encode_image(images[3])["bytes"] is None  # an image that needs no change stays in its file


# ---- prompts


IMAGE = {"type": "image"}


def text(content):
    return {"type": "text", "text": content}


@pytest.mark.parametrize(
    ("prompt", "num_images", "content", "order"),
    [
        ("What?", 2, [IMAGE, IMAGE, text("What?")], [0, 1]),
        ("In <image> and <image>?", 2, [text("In "), IMAGE, text(" and "), IMAGE, text("?")], [0, 1]),
        ("<image2> or <image1>", 2, [IMAGE, text(" or "), IMAGE], [1, 0]),
        ("See <image1>. Is <image1> red?", 1, [text("See "), IMAGE, text(". Is <image1> red?")], [0]),
        ("With <image2>", 2, [IMAGE, text("With "), IMAGE], [0, 1]),
        ("<image1> <image>", 2, [IMAGE, text(" "), IMAGE], [0, 1]),
    ],
)
def test_images_stand_where_their_placeholders_are(prompt, num_images, content, order):
    messages, placed = place_images(prompt, num_images)
    assert (messages, placed) == ([{"role": "user", "content": content}], order)


def test_chats_with_image_parts_pass_through(tmp_path):
    chat = [{"role": "user", "content": [text("Is "), IMAGE, text(" as <image2>?"), IMAGE]}]
    problem = load_problems(write(tmp_path, {"prompt": chat, "images": ["b.jpg", "a.png"]})).problems[0]
    assert build_prompt(problem, PromptStyle(), chat=True) == chat
    assert order_images(problem) == list(problem.images)
    styled = build_prompt(problem, PromptStyle("Look.", " Answer."), chat=True)
    assert styled == [
        {"role": "system", "content": [text("Look.")]},
        {"role": "user", "content": [*chat[0]["content"], text(" Answer.")]},
    ]
    with pytest.raises(DataError, match="line 1: its chat has 2 image parts, and the row 1 images"):
        load_problems(write(tmp_path, {"prompt": chat, "image": "a.png"}))
    with pytest.raises(DataError, match="has images, but the model has no chat template"):
        build_prompt(load_problems(write(tmp_path, {"image": "a.png"})).problems[0], PromptStyle(), chat=False)


def uri(color):
    return "data:image/png;base64," + base64.b64encode(to_bytes(picture(color))).decode()


def test_image_parts_that_hold_their_pictures_are_read_as_a_column_is(tmp_path):
    parts = [
        {"type": "image", "image": "a.png", "text": None},  # None: as Arrow fills its columns
        {**text("or"), "image": None},
        {"type": "image_url", "image_url": {"url": uri("blue")}},
        {"type": "image", "path": "b.jpg"},
        IMAGE,
        {"type": "image", "base64": uri("green").partition(",")[2], "detail": "low"},
    ]
    data = write(tmp_path, {"prompt": [{"role": "user", "content": parts}], "image": "b.jpg"})
    problem = load_problems(data).problems[0]
    bare = [IMAGE, text("or"), IMAGE, IMAGE, IMAGE, {**IMAGE, "detail": "low"}]
    assert problem.prompt == [{"role": "user", "content": bare}]
    colors = [open_image(image).getpixel((0, 0)) for image in order_images(problem)]
    assert colors[0] == (255, 0, 0)
    assert colors[1] == (0, 0, 255)
    assert colors[2] == colors[3]
    assert colors[4] == (0, 128, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([IMAGE], "line 1: its chat has 1 image parts, and the row 0 images; give one for each"),
        (
            [{"type": "image", "path": "a.png"}, IMAGE],
            "has 1 image parts without a picture of their own, and the row 0",
        ),
        ([{"type": "image", "url": "https://x.org/a.png"}], "line 1: image https://x.org/a.png is a URL; .*allow"),
        ([{"type": "image", "path": "none.png"}], "line 1: no image .*none.png"),
        ([{"type": "video", "path": "a.mp4"}], "line 1: a message has a part of type 'video'; text and image parts"),
        ([{"type": "text"}], "line 1: a message has a text part without text"),
        (["What?"], "line 1: a message's content must be text or a list of parts .*, got a list"),
        (7, "line 1: a message's content must be text or a list of parts .*, got a number"),
        (None, "got null"),
    ],
)
def test_what_is_wrong_with_a_chats_parts_is_one_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        load_problems(write(tmp_path, {"prompt": [{"role": "user", "content": content}]}))
    assert "\n" not in str(caught.value)


def test_a_language_models_chats_are_texts(tmp_path):
    chat = [{"role": "system", "content": "Hi."}, {"role": "user", "content": [text("1+"), text("1?")]}]
    problem = load_problems(write(tmp_path, {"prompt": chat})).problems[0]
    assert build_text_prompts([problem], PromptStyle(prompt_suffix="!"), chat=True) == [
        [{"role": "system", "content": "Hi."}, {"role": "user", "content": "1+1?!"}]
    ]


def test_show_prints_where_images_go(spine, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    chat = [{"role": "system", "content": "Look."}, {"role": "user", "content": [text("Is "), IMAGE, text(" red?")]}]
    rows = [
        {"images": ["a.png", "b.jpg"], "prompt": "<image2> of <image1>, <image2>?"},
        {"image": "a.png"},
        {"image": "b.jpg", "prompt": chat},
    ]
    status, printed, error = spine("data", "show", write(tmp_path, *rows))
    assert status == 0, error
    first, second = f"⟦image 1: {tmp_path / 'a.png'}⟧", f"⟦image 2: {tmp_path / 'b.jpg'}⟧"
    assert f"{second} of {first}, <image2>?" in printed  # the last is a mention
    assert f"{first}What?" in printed
    assert f"system: Look.\nuser: Is {second.replace('image 2', 'image 1')} red?" in printed


def test_a_page_holds_images_in_place_and_escapes_the_rest(spine, tmp_path):
    data = write(tmp_path, {"image": "a.png", "prompt": "<script>x</script> <image> end", "answer": "<b>"})
    page = tmp_path / "page.html"
    assert spine("data", "show", data, "--html", page, "--show-gold")[0] == 0
    text = page.read_text()
    assert "<script" not in text
    assert text.index("&lt;script&gt;") < text.index("data:image/png;base64,") < text.index(" end</div>")
    assert "gold: <bdi>&lt;b&gt;</bdi>" in text
    status, _, error = spine("data", "show", data, "--html", page)
    assert (status, error.count("\n")) == (2, 1)
    assert page.read_text() == text


# ---- models


NO_TORCHVISION = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="Qwen2.5-VL's processor needs torchvision"
)


@pytest.fixture(scope="module", params=[*IMAGE_TEXT_ARCHITECTURES, pytest.param(QWEN, marks=NO_TORCHVISION)])
def model_folder(request, tmp_path_factory):
    return save_image_text_model(request.param, tmp_path_factory.mktemp(request.param) / "model")


def write_mixed(folder):
    """One image, several, none, and a chat that holds its own: as data sets have them."""
    rows = [
        {"image": "a.png", "prompt": "Color of <image>?"},
        {"images": ["a.png", "b.jpg"], "prompt": "<image2> or <image1>?"},
        {"prompt": "1+1?"},
        {"prompt": [{"role": "user", "content": [text("Is"), {"type": "image", "path": "b.jpg"}, text("red?")]}]},
    ]
    return write(folder, *rows)


SMALL_RUN = {
    "max_steps": 2,
    "num_generations": 4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "max_completion_length": 6,
    "use_cpu": True,
    "report_to": "none",
    "answer_type": "text",
    "learning_rate": 1e-2,
}


def train(spine, model, data, out, **fields):
    given = SMALL_RUN | fields
    tokens = [f"--{name}={value}" for name, value in given.items()]
    return spine("train", f"--model={model}", f"--data={data}", f"--output_dir={out}", *tokens)


def test_an_image_text_model_is_trained_saved_loaded_and_evaluated(spine, model_folder, tmp_path, recwarn):
    data = write_mixed(tmp_path)
    out = tmp_path / "run"
    status, _, error = train(spine, model_folder, data, out)
    assert status == 0, error
    assert not [warning for warning in recwarn if "prompts are run once per response" in str(warning.message)]
    model, processor = load_model_and_tokenizer(str(out))
    assert isinstance(processor, ProcessorMixin)
    moved = list_moved(load_model_and_tokenizer(model_folder)[0], model)
    assert moved
    assert not [name for name in moved if "vision" in name]

    status, _, error = spine(
        "eval", "--model", out, "--data", data, "--num-generations", 2, "--max-completion-length", 4,
        "--baseline", model_folder,
        "--out", tmp_path / "eval", "--answer-type", "text",
    )  # fmt: skip
    assert status == 0, error
    report = json.loads((tmp_path / "eval" / "evaluation.json").read_text())
    assert report["n_problems"] == 4
    assert report["entropy"] > 0


def test_responses_to_images_are_scored_wherever_they_stand_in_a_batch(model_folder, tmp_path):
    engine = TransformersSampler(*load_model_and_tokenizer(model_folder))
    problems = load_problems(write_mixed(tmp_path)).problems
    prompts = prepare_visual_prompts(engine.processor, problems, PromptStyle())
    begun = [prompt + list(range(20, 20 + length)) for prompt, length in zip(prompts, (3, 0, 5, 1), strict=True)]
    with torch.no_grad():
        together = engine.model(**engine.encode(begun)).logits[:, -1]
        alone = torch.cat([engine.model(**engine.encode([prompt])).logits[:, -1] for prompt in begun])
        bare = torch.cat([engine.model(**engine.encode([prompt])).logits[:, -1] for prompt in prompts])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert (together - bare).abs().amax(1).gt(1e-3).tolist() == [True, False, True, True]
    scores = score_tokens(engine.model, engine.encode([prompts[0] + [20, 21, 22]]), 3)
    after = alone[0].softmax(-1)
    assert len(scores.entropies) == 3
    assert not torch.allclose(scores.top_probabilities[2], after.topk(5).values)  # before the last token, not after it


def test_inspect_and_preflight_take_images(spine, model_folder, tmp_path):
    data, page, figures = write_mixed(tmp_path), tmp_path / "inspect.html", tmp_path / "preflight.json"
    common = ("--model", model_folder, "--data", data, "--num-generations", 2, "--max-completion-length", 4)
    common += ("--answer-type", "text", "--max-image-pixels", 90)
    status, _, error = spine("inspect", *common, "--out", page)
    assert status == 0, error
    written = page.read_text()
    assert written.count('<img src="data:image/') == 4
    assert written.count('class="response"') == 8
    status, printed, error = spine("preflight", *common, "--json", figures)
    assert status == 0, error
    assert json.loads(figures.read_text())["signal"]["entropy"] > 0
    assert "raise --max_completion_length" in printed


def test_forks_are_validated_with_images(model_folder, tmp_path, monkeypatch):
    for module in ("diagnose.rollouts", "diagnose.validate_forks"):  # a response's answer is its first token
        monkeypatch.setattr(f"spine_rl.{module}.read_key", lambda _, response, __: str(response.token_ids[0]))
    engine = TransformersSampler(*load_model_and_tokenizer(model_folder))
    problems = load_problems(write_mixed(tmp_path)).problems
    decoding = Decoding(max_new_tokens=5)
    rollouts = draw_rollouts(engine, problems, PromptStyle(), decoding, 2)
    result = validate_forks(engine, rollouts, decoding, num_tokens=20, num_repeats=2)
    assert len(result.trials) == 20
    assert all(trial.kept == 0 for trial in result.trials)
    assert {trial.resampled > 0 for trial in result.trials} == {True, False}  # drawn anew, or kept as well


def test_sharing_is_exact_with_images_and_runs_each_picture_once(model_folder, tmp_path):
    model, processor = load_model_and_tokenizer(model_folder)
    problems = load_problems(write_mixed(tmp_path)).problems
    dataset = build_dataset(problems, processor, context=None, max_new_tokens=6)
    trainer = SpineTrainer(model, SpineConfig(output_dir=str(tmp_path / "run"), **SMALL_RUN), dataset, processor)
    batch = trainer._generate_and_score_completions([row for row in dataset for _ in range(4)])
    mask = batch["completion_mask"].bool()
    pictures = []
    get_vision_tower(model).register_forward_pre_hook(lambda *call: pictures.append(call), with_kwargs=True)
    trainer.score_tokens(model, batch)  # the first time, both paths run, to be compared
    results = []
    for shared in (True, False):
        assert trainer.sharing.serves(model)
        trainer.sharing.serves = lambda _, shared=shared: shared
        pictures.clear()
        model.zero_grad()
        logps, entropies, _ = trainer.score_tokens(model, batch)
        (logps[mask].sum() - entropies[mask].square().sum()).backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        results.append((count_pictures(pictures), gradients))
        del trainer.sharing.serves
    (few, found), (many, expected) = results
    assert many == 4 * few > 0
    assert found.keys() == expected.keys()
    assert not any("vision_tower" in name or "visual" in name or "vision_model" in name for name in found)
    scale = max(gradient.norm() for gradient in expected.values())
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-6 * scale, name


def count_pictures(calls):
    """Patches or pictures that a vision tower was given."""
    return sum(len(args[0] if args else next(iter(kwargs.values()))) for _, args, kwargs in calls)


def list_moved(before, after):
    """Names of the parameters that training changed."""
    old = dict(before.named_parameters())
    return [name for name, parameter in after.named_parameters() if not torch.equal(parameter, old[name])]


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return save_image_text_model("llava", tmp_path_factory.mktemp("llava") / "model")


def test_the_vision_tower_is_trained_when_asked_for(spine, llava, tmp_path):
    out = tmp_path / "run"
    status, _, error = train(spine, llava, write_mixed(tmp_path), out, freeze_vision=False, learning_rate=0.1)
    assert status == 0, error
    moved = list_moved(load_model_and_tokenizer(llava)[0], load_model_and_tokenizer(str(out))[0])
    assert any("vision_tower" in name for name in moved)


@pytest.mark.parametrize("targets", [None, "all-linear", ["q_proj", "v_proj"]])
def test_lora_is_put_on_the_language_part_alone(model_folder, targets):
    config = LoraConfig(target_modules=targets)
    model, _ = load_model_and_tokenizer(model_folder)
    adapt_language_only(config, model)
    adapted = {name for name, _ in get_peft_model(model, config).named_parameters() if "lora_A" in name}
    assert len(adapted) == 3 * (2 if isinstance(targets, list) else 7)  # layers times projections
    language = {id(parameter) for parameter in model.get_decoder().parameters()}
    assert all(id(parameter) in language for name, parameter in model.named_parameters() if "lora_" in name)


def test_lora_of_a_model_by_name_is_put_on_the_language_part_alone(model_folder, tmp_path):
    config = LoraConfig(target_modules=["q_proj", "v_proj"])
    data = Dataset.from_list([{"prompt": [{"role": "user", "content": f"{i}?"}]} for i in range(4)])
    batch = {"per_device_train_batch_size": 4, "num_generations": 2, "use_cpu": True, "report_to": "none"}
    trainer = SpineTrainer(model_folder, SpineConfig(str(tmp_path), **batch), data, peft_config=config)
    names = [name for name, _ in trainer.model.named_parameters() if "lora_A" in name]
    assert len(names) == 3 * 2  # layers times projections
    assert not any("vision" in name for name in names)


def test_an_adapter_is_trained_and_evaluated_with_images(spine, model_folder, tmp_path):
    data = write_mixed(tmp_path)
    out = tmp_path / "run"
    status, _, error = train(spine, model_folder, data, out, use_peft=True, lora_r=4)
    assert status == 0, error
    options = ("--num-generations", 1, "--max-completion-length", 2, "--answer-type", "text")
    status, _, error = spine("eval", "--model", out, "--data", data, *options)
    assert status == 0, error


def test_each_prompt_is_processed_once_and_as_before(model_folder, tmp_path, monkeypatch):
    model, processor = load_model_and_tokenizer(model_folder)
    problems = load_problems(write_mixed(tmp_path)).problems
    dataset = build_dataset(problems, processor, context=None, max_new_tokens=6)
    trainer = SpineTrainer(model, SpineConfig(output_dir=str(tmp_path / "run"), **SMALL_RUN), dataset, processor)
    rows = [row for row in dataset for _ in range(4)]
    calls = []
    process = type(processor).__call__
    monkeypatch.setattr(
        type(processor), "__call__", lambda self, *a, **k: calls.append(k["text"]) or process(self, *a, **k)
    )
    batches = []
    for once in (True, False):
        if not once:
            monkeypatch.setattr(OncePerPrompt, "_process_once", lambda self, rows, process: process(rows))
        calls.clear()
        torch.manual_seed(0)
        batches.append(trainer._generate_and_score_completions(rows))
        assert [len(texts) for texts in calls] == ([4, 4] if once else [16, 16])
    found, expected = batches
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value) if isinstance(value, torch.Tensor) else found[name] == value, name
    assert trainer.processing_class is processor


def test_a_batch_opens_each_picture_once(llava, tmp_path):
    model, processor = load_model_and_tokenizer(llava)
    problems = [Problem(str(n), "What?", images=(picture(color),)) for n, color in enumerate(("red", "blue"))]
    trainer = SpineTrainer(
        model,
        args=SpineConfig(str(tmp_path), per_device_train_batch_size=8, num_generations=4, use_cpu=True, bf16=False),
        train_dataset=build_dataset(problems, processor, context=None, max_new_tokens=4),
        processing_class=processor,
    )
    (rows,) = trainer.get_train_dataloader()
    pictures = {id(row["images"][0]): row["images"][0].getpixel((0, 0)) for row in rows}
    assert sorted(pictures.values()) == [(0, 0, 255), (255, 0, 0)]
    assert Counter(row["problem_id"] for row in rows) == {"0": 4, "1": 4}
    assert len({id(row) for row in rows}) == 8


def test_logits_depend_on_the_order_of_the_pictures(llava):
    model, processor = load_model_and_tokenizer(llava)
    red, blue = picture(), picture("blue")
    problems = [
        Problem(str(n), "<image> and <image>", images=pair) for n, pair in enumerate([(red, blue), (blue, red)])
    ]
    prompts = prepare_visual_prompts(processor, problems, PromptStyle())
    with torch.no_grad():
        first, second = model(**encode_visual_prompts(processor, prompts)).logits[:, -1]
    assert not torch.allclose(first, second)


def test_the_templates_arguments_reach_prompts_with_pictures(llava):
    _, processor = load_model_and_tokenizer(llava)
    processor.chat_template += "{% if brief %}brief{% endif %}"
    problems = [Problem("a", "<image>?", images=(picture(),))]
    plain, brief = (
        prepare_visual_prompts(processor, problems, PromptStyle(chat_template_kwargs=given))
        for given in ({}, {"brief": True})
    )
    assert len(brief[0]) > len(plain[0])
    assert encode_visual_prompts(processor, brief)["input_ids"].size(1) == len(brief[0])
    assert render_visual_prompt(processor, brief[0]).endswith("brief")


def test_a_template_that_refuses_a_chat_with_pictures_is_one_line(llava):
    _, processor = load_model_and_tokenizer(llava)
    processor.chat_template += "{{ raise_exception('No pictures') }}"
    with pytest.raises(DataError, match=r"problem 'a': the model's processor refuses it \(No pictures\)"):
        prepare_visual_prompts(processor, [Problem("a", "<image>?", images=(picture(),))], PromptStyle())


def test_several_images_in_one_row_do_not_stand_in_for_none_in_another():
    batch = {"pixel_values": torch.zeros(4, 2, 3, 8, 8), "pixel_attention_mask": torch.ones(4, 2, 8, 8)}
    assert count_pixel_rows(batch | {"num_images": [1, 2, 0, 1]})["num_images"] == [1, 1, 1, 1]  # Idefics: row a prompt
    flat = {"pixel_values": torch.zeros(4, 3, 8, 8), "num_images": [1, 2, 0, 1]}
    assert count_pixel_rows(flat) is flat  # LLaVA: row an image


def test_what_cannot_work_with_images_is_refused_in_one_line(spine, llava, tmp_path):
    data = write(tmp_path, {"image": "a.png"}, {"prompt": "Is <image> red?"})
    text_model = save_qwen2(tmp_path / "text")
    for command, message in [
        (
            ("train", f"--output_dir={tmp_path / 'run'}", f"--model={text_model}"),
            "problem '0' has images, but .* text only",
        ),
        (("eval", f"--model={text_model}"), "problem '0' has images; take an image-text model"),
        (("eval", f"--model={llava}", "--engine=continuous"), "problem '0' has images; .* --engine transformers"),
        (("eval", f"--model={llava}"), "problem '1': its text has '<image>', which the model reads as a picture"),
    ]:
        status, _, error = spine(*command, f"--data={data}")
        said = [line for line in error.splitlines() if not re.fullmatch(r"load .* took \d+:\d\d", line)]
        assert (status, len(said)) == (2, 1)
        assert re.search(message, said[0])
    assert not (tmp_path / "run").exists()


# ---- MathVision, whole


@pytest.mark.skipif(not DATA.exists(), reason="benchmark files are not here")
def test_every_row_of_mathvision_is_read_placed_and_keyed(monkeypatch, llava):
    monkeypatch.setenv("SPINE_DATA_ROOT", str(DATA))
    problem_set = load_problems("mathvision", gold_column="answer", max_image_pixels=100_000)
    problems = problem_set.problems
    _, processor = load_model_and_tokenizer(llava)
    prompts = prepare_visual_prompts(processor, problems, PromptStyle())
    assert [len(prompt.images) for prompt in prompts] == [1] * 304
    sheet = make_answer_sheet(problems, problem_set.gold_answers)
    assert Counter(sheet.types) == {"choice": 190, "math": 114}
    assert None not in sheet.gold


def pretend_answers(monkeypatch):
    """A random model's text has no answers: it stands for one of two, in the form that its problem asks for."""
    original = SpineTrainer._key

    def key(self, completion, answer_format, cut_off):
        text = completion[-1]["content"]
        choices = ("(B)", "A") if answer_format[0] == "choice" else ("\\frac{1}{2}", "7")
        answer = choices[sum(map(ord, text)) % 2]
        return original(self, [{"content": f"So it is \\boxed{{{answer}}}."}], answer_format, False)

    monkeypatch.setattr(SpineTrainer, "_key", key)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="benchmark files are not here")
def test_mathvision_goes_whole_through_training_and_evaluation(spine, llava, tmp_path, monkeypatch):
    monkeypatch.setenv("SPINE_DATA_ROOT", str(DATA))
    pretend_answers(monkeypatch)
    out, small = tmp_path / "run", {"max_image_pixels": 10_000, "gold_column": "answer"}
    status, _, error = train(
        spine, llava, "mathvision", out, **small, max_steps=19, save_steps=19, num_generations=2,
        per_device_train_batch_size=32, gradient_accumulation_steps=1, max_completion_length=3, answer_type="auto",
    )  # fmt: skip
    assert status == 0, error
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][:19]
    assert all(row["vote/abstained"] == 0 and row["vote/majority_ratio"] >= 0.5 for row in rows)
    assert any(
        row["grad_norm"] > 0 for row in rows
    )  # the loss is 0 where responses are equally long: advantages cancel
    state = json.loads((out / "checkpoint-19" / "trainer_state.json").read_text())
    labels = [label for label, *_ in state["stateful_callbacks"]["first_labels"].values()]
    assert len(labels) == 304  # every problem was voted on
    assert set(labels) == {"A", "B", "7", "1/2"}

    status, _, error = spine(
        "eval", "--model", out, "--data", "mathvision", "--num-generations", 1, "--max-completion-length", 3,
        "--max-image-pixels", 10_000, "--out", tmp_path / "eval",
    )  # fmt: skip
    assert status == 0, error
    report = json.loads((tmp_path / "eval" / "evaluation.json").read_text())
    assert report["n_problems"] == 304
