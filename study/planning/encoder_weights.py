"""Initial encoder weights of a study, and their content hash."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.errors import BadInput, check_path, unknown
from trainables.modeling.encoders import FAMILIES, check_merged, check_tokenizer, family_of
from trainables.modeling.memory import Shape
from trainables.recipe import digest
from trainables.training.pretrain import SIZES, size

# Suggested for names without an owner, which the hub no longer resolves.
KNOWN_HUB_IDS = ("FacebookAI/xlm-roberta-base", "FacebookAI/xlm-roberta-large")
CODE_FILES = ("config.json", "tokenizer_config.json", "processor_config.json")  # where "auto_map" may stand
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")
# Greetings in the scripts of the published sets.
SCRIPTS = [
    "Hello world",
    "Привет",
    "你好",
    "こんにちは",
    "안녕",
    "مرحبا",
    "नमस्ते",
    "สวัสดี",
    "Γειά",
    "שלום",
    "হ্যালো",
    "வணக்கம்",
]


@dataclass(frozen=True)
class Weights:
    """Existing encoder weights.

    Attributes:
        address: content hash.
        location: a folder, or `hub:<id>@<commit>`.
        model_type: architecture as in config.json; "" if the hub does not give it.
    """

    address: str
    location: str
    model_type: str = ""

    @property
    def can_mask(self) -> bool:
        """True if the architecture has a masked-LM head, or is unknown.

        An unknown architecture is checked when the weights are loaded.
        """
        return not self.model_type or FAMILIES[self.model_type].lm_head is not None

    def folder(self) -> Path:
        """Return the local folder of the weights.

        Hub weights are downloaded on first use (safetensors and text files only).
        """
        if not self.location.startswith("hub:"):
            return Path(self.location)
        folder = self._download(HUB_FILES)
        _check(folder, f"encoder {self.location.removeprefix('hub:').rsplit('@', 1)[0]!r}")
        return folder

    def texts(self) -> Path:
        """Return a local folder with configuration and tokenizer.

        Unlike `folder`, this downloads no weights from the hub.
        """
        if not self.location.startswith("hub:"):
            return Path(self.location)
        return self._download([pattern for pattern in HUB_FILES if not pattern.endswith(".safetensors")])

    def _download(self, patterns: Sequence[str]) -> Path:
        from huggingface_hub import snapshot_download

        name, commit = self.location.removeprefix("hub:").rsplit("@", 1)
        return Path(snapshot_download(name, revision=commit, allow_patterns=list(patterns)))


def resolve(encoder: str) -> Weights | None:
    """Find the weights of an encoder: `pocket`, a folder or a hub id.

    Returns:
        None for `pretrain:<size>`, whose weights are the result of a stage.

    Raises:
        BadInput: the name is unknown, the folder is not a safetensors checkpoint of a supported architecture, or the
            hub does not have it.
    """
    if encoder.startswith("pretrain:"):
        size(encoder.removeprefix("pretrain:"))
        return None
    check_path("encoder", encoder)
    if encoder == "pocket":
        return _folder(Path(str(importlib.resources.files("trainables.pocket") / "encoder")))
    if Path(encoder).is_dir():
        return _folder(Path(encoder).resolve())
    if encoder.count("/") == 1 and not encoder.startswith((".", "/", "~")):
        return _hub(encoder)
    made_here = ["pocket", *(f"pretrain:{name}" for name in SIZES)]
    raise unknown("encoder", encoder, [*made_here, *KNOWN_HUB_IDS, "<owner>/<name>", "<folder>"])


def check_loads(weights: Weights) -> str:
    """Load an encoder as the stages will; return a warning, if any.

    Weights on the hub are checked when a stage has downloaded them.

    Raises:
        BadInput: weights are absent, of another shape or not finite, a file is damaged, or tokenizer and weights do not fit.
    """
    from trainables.modeling.model import load_lm, load_tokenizer

    if weights.location.startswith("hub:"):
        return ""
    tokenizer = load_tokenizer(weights.location)
    load_lm(weights.location)
    pieces = tokenizer(SCRIPTS, add_special_tokens=False)["input_ids"]
    unread = [text for text, ids in zip(SCRIPTS, pieces, strict=True) if tokenizer.unk_token_id in ids]
    return f"encoder {weights.location!r} cannot read all letters of: {', '.join(unread)}" if unread else ""


def shape_of(encoder: str, weights: Weights | None) -> Shape | None:
    """Read the encoder's dimensions from its config alone.

    Returns:
        None if the config cannot be read or omits dimensions.
    """
    if weights is None:
        made = size(encoder.removeprefix("pretrain:"))
        return Shape(
            layers=made.layers,
            width=made.width,
            inner=4 * made.width,
            heads=made.heads,
            attended=made.width,
            vocabulary=made.vocabulary,
        )
    try:
        return Shape.of(json.loads((weights.texts() / "config.json").read_text(encoding="utf-8")))
    except Exception:  # network error, or a config that relies on the class's defaults: no estimate is given
        return None


def _folder(folder: Path) -> Weights:
    files = sorted(p for p in folder.glob("*") if p.is_file())
    names = {p.name for p in files}
    check_merged(names, f"encoder folder {str(folder)!r}", str(folder))
    if "config.json" not in names:
        raise BadInput(f"encoder folder {str(folder)!r} has no config.json")
    if not any(name.endswith(".safetensors") for name in names):
        pickled = sorted(n for n in names if n.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt")))
        why = f"; {pickled[0]} is a pickle, which is not loaded: convert it to safetensors" if pickled else ""
        raise BadInput(f"encoder folder {str(folder)!r} has no .safetensors weights{why}")
    model_type = _check(folder, f"encoder folder {str(folder)!r}")
    sums = {}
    for path in files:
        if path.suffix in (".json", ".safetensors", ".model", ".txt"):
            with open(path, "rb") as file:
                sums[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return Weights(digest(sums), str(folder), model_type)


def _check(folder: Path, what: str) -> str:
    """Check a checkpoint folder and return its architecture.

    There is no option to allow remote code: a model that needs it can be saved again with a class of transformers.

    Raises:
        BadInput: the architecture is not supported, the checkpoint requires remote code, or its index lists weight
            files outside the folder.
    """
    model_type = None
    for path in sorted(folder.glob("*.json")):
        if path.name not in CODE_FILES and not path.name.endswith(".index.json"):
            continue
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BadInput(f"{what}: {path.name} is not valid JSON ({error})") from None
        if not isinstance(values, dict):
            raise BadInput(f"{what}: {path.name} is not a JSON object")
        if values.get("auto_map") or values.get("custom_pipelines"):
            raise BadInput(f"{what}: {path.name} requires remote Python code (auto_map), which is never run")
        shards = values.get("weight_map", {})
        for shard in shards.values() if isinstance(shards, dict) else [shards]:
            if not isinstance(shard, str) or Path(shard).name != shard or not (folder / shard).is_file():
                raise BadInput(f"{what}: {path.name} lists a weight file that is not in the folder: {shard!r}")
        if path.name == "config.json":
            model_type = values.get("model_type")
    family_of(model_type, what)
    check_tokenizer({path.name for path in folder.iterdir()}, what)
    return str(model_type)


def _hub(name: str) -> Weights:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        info = HfApi().model_info(name)
    except HFValidationError as error:
        raise BadInput(f"encoder {name!r} is not a hub id: {error}") from error
    except OfflineModeIsEnabled as error:
        raise BadInput(f"encoder {name!r}: HF_HUB_OFFLINE is set, so the hub is not used; give a folder") from error
    except HfHubHTTPError as error:
        raise BadInput(f"encoder {name!r} is not on the hub, or is private: {str(error).splitlines()[0]}") from error
    except Exception as error:  # httpx raises its own families for a missing network
        raise BadInput(
            f"encoder {name!r}: the hub cannot be reached ({type(error).__name__}); give a folder"
        ) from error
    check_merged({s.rfilename for s in info.siblings or []}, f"encoder {name!r}", name)
    if (info.config or {}).get("auto_map"):
        raise BadInput(f"encoder {name!r}: config.json requires remote Python code (auto_map), which is never run")
    if not any(s.rfilename.endswith(".safetensors") for s in info.siblings or []):
        raise BadInput(f"encoder {name!r} has no .safetensors weights on the hub; pickled weights are not loaded")
    model_type = str((info.config or {}).get("model_type", ""))
    if model_type:
        family_of(model_type, f"encoder {name!r}")
    check_tokenizer({s.rfilename for s in info.siblings or []}, f"encoder {name!r}")
    return Weights(digest({"hub": name, "commit": info.sha}), f"hub:{name}@{info.sha}", model_type)
