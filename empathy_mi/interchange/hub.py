"""Probes with a model card, in a folder or on the Hugging Face Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from empathy_mi import __version__
from empathy_mi.errors import InputError
from empathy_mi.io import write_text
from empathy_mi.probes import FILE, Probe

if TYPE_CHECKING:
    from empathy_mi.detection import Detection


def model_card(probe: Probe, *, detection: Detection | None = None, license: str = "mit") -> str:
    """What the probe is, how it was made, how to load it and what it does not say."""
    lines = [
        "---",
        "library_name: empathy-mi",
        f"license: {license}",
        "tags: [interpretability, probe, steering-vector, empathy]",
        "---",
        "",
        f"# Empathy-in-action probe of {probe.model}, layer {probe.layer}",
        "",
        f"A unit direction in the residual stream of `{probe.model}` at `{probe.hook_name}` "
        f"(Hugging Face: `hidden_states[{probe.layer + 1}]`). A higher projection means more "
        "empathic. Made with empathy-mi after arXiv 2511.16699.",
        "",
        "| | |",
        "|---|---|",
        f"| model, fingerprint of its weights | {probe.model}, `{probe.fingerprint}` |",
        f"| method | {probe.method} |",
        f"| fitted on | {probe.n_pairs} contrastive pairs, digest `{probe.data}` |",
        f"| pooling, context | {probe.pooling}, {probe.context} |",
        f"| threshold | {probe.threshold:.6g} |",
        f"| distance of the class means | {probe.class_gap:.6g} |",
        f"| median residual norm there | {probe.norm:.6g} |",
    ]
    if detection is not None:
        row = next((r for r in detection.layers if r.layer == probe.layer), None)
        if row is None:
            raise InputError(
                f"the detection has no layer {probe.layer}: evaluate the probe's own layer."
            )
        lines += [
            f"| AUROC on held-out pairs | {row.auroc}, permutation p {row.p:.3g}, random "
            f"directions' 95th percentile {row.random.high:.3f} |",
        ]
    return "\n".join([
        *lines,
        "",
        "```python",
        "import empathy_mi as emi",
        "",
        'probe = emi.Probe.from_pretrained("this folder or repository")',
        f'model = emi.load_model("{probe.model}")',
        "with probe.steering_vector().applied(model, alpha=10):",
        "    ...",
        "```",
        "",
        "A probe that detects is not yet one that causes, and one that tells these texts apart may "
        "read their words: see the controls in the documentation. It fits the model with this "
        "fingerprint and no other.",
        "",
        f"empathy-mi {__version__}",
        "",
    ])  # fmt: skip


def save_pretrained(
    probe: Probe, folder: str | Path, *, detection: Detection | None = None
) -> Path:
    """Write the probe's file and its model card; returns the folder.

    Raises:
        InputError: the folder cannot be written, or the detection lacks the probe's layer.
    """
    card = model_card(probe, detection=detection)
    probe.save(folder)
    write_text(Path(folder) / "README.md", card)
    return Path(folder)


def push_to_hub(
    probe: Probe,
    repo_id: str,
    *,
    detection: Detection | None = None,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
) -> str:
    """Upload what `save_pretrained` writes to a model repository, which is made if it is missing.

    Returns:
        The address of the commit.

    Raises:
        InputError: the Hub cannot be reached, or refuses the name or the token.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(probe, folder, detection=detection)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=f"Probe of layer {probe.layer}",
                revision=revision,
            )
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise InputError(
                f"cannot push to {repo_id!r} ({_short(error)}): check the name ('user/name'), the "
                "token (hf auth login) and the network."
            ) from error
    return str(commit.commit_url)


def from_pretrained(
    source: str | Path, *, revision: str | None = None, token: str | None = None
) -> Probe:
    """A probe from a folder, or else from a repository of the Hub.

    Raises:
        InputError: there is no such folder or repository, the Hub cannot be reached, or the file
            is no probe of this version.
    """
    if Path(source).is_dir():
        return Probe.load(source)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        path = hf_hub_download(str(source), FILE, revision=revision, token=token)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(
            f"{str(source)!r} is no folder, and no probe could be had from the Hub under that name "
            f"({_short(error)}): check the name, the token and the network."
        ) from error
    return Probe.load(Path(path).parent)


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
