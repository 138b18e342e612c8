"""What a release needs: one version, a dated change log, and workflows that run what was reviewed."""

import re

import yaml

from sgrpo_verl import __version__
from tests.conftest import ROOT


def test_the_change_log_begins_with_this_version_and_its_date():
    first = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE).group(1)
    assert re.fullmatch(rf"{re.escape(__version__)} \((\d{{4}}-\d{{2}}-\d{{2}}|unreleased)\)", first)


def test_the_version_is_written_in_one_place():
    number = re.compile(rf"(?<![\d.]){re.escape(__version__)}(?![\d.])")
    for name in ("pyproject.toml", "CITATION.cff", "mkdocs.yml"):
        assert not number.search((ROOT / name).read_text()), name


def test_every_action_is_pinned_to_a_commit():
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert [file.stem for file in workflows] == ["ci", "docs", "release"]
    for file in workflows:
        for line in file.read_text().splitlines():
            if "uses:" in line:
                assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_a_workflow_may_only_read_but_where_it_publishes():
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(file.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        allowed = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
        assert set(allowed) <= {"deploy", "publish"}, file.name
