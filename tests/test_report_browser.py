"""The report in a real browser: search, arms, themes; no script error and no outside request.

Chromium is driven by its own flags: a copy of the page gets a probe in its place that uses the
controls as a user would and writes what it saw into the title, which ``--dump-dom`` prints. Where no Chromium is installed the
tests are skipped, unless ``MIDSPEC_NEEDS_BROWSER`` is set, as in CI.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from midspec.report import write_report
from tests.test_report import make_inputs

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)  # fmt: skip
NEEDED = bool(os.environ.get("MIDSPEC_NEEDS_BROWSER"))  # set by .ci/run: no browser is a failure
pytestmark = pytest.mark.skipif(not (BROWSER or NEEDED), reason="no Chromium on this machine")

PROBE = """
(() => {
  const errors = window.probeErrors;
  const shown = (selector) =>
    Array.from(document.querySelectorAll(selector)).filter((one) => one.offsetParent !== null).length;
  const seen = { cards: shown(".card"), rows: shown(".card tr[data-arm]"), bar: shown("#controls-bar") };
  const search = document.getElementById("search");
  const type = (text) => { search.value = text; search.dispatchEvent(new Event("input")); };
  type("thrift option 1 ");
  seen.found = shown(".card");
  seen.said = document.getElementById("found").textContent;
  type("zzzz");
  seen.none = shown(".card");
  type("");
  document.getElementById("no-arms").click();
  seen.without = shown(".card tr[data-arm]");
  const box = document.querySelector("#pick-arms input");
  box.checked = true;
  box.dispatchEvent(new Event("change", { bubbles: true }));
  seen.one = shown(".card tr[data-arm]");
  document.getElementById("all-arms").click();
  const value = document.getElementById("pick-value");
  value.value = "craft";
  value.dispatchEvent(new Event("input"));
  seen.craft = shown(".card");
  seen.errors = errors;
  seen.requests = performance.getEntriesByType("resource").map((one) => one.name)
    .filter((name) => !name.startsWith("data:"));
  seen.width = window.innerWidth;
  seen.wide = document.documentElement.scrollWidth <= window.innerWidth;
  document.title = "PROBE" + JSON.stringify(seen) + "END";
  if (parent !== window) parent.postMessage(document.title, "*");
})();
"""
CATCH = """
window.probeErrors = [];
addEventListener("error", (event) => window.probeErrors.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => window.probeErrors.push(event.violatedDirective));
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    return write_report(make_inputs(folder, n=12, seeds=(0,)), folder / "report")


def with_probe(page: Path) -> Path:
    """A copy whose policy also allows the two probes, and nothing else."""
    text = page.read_text(encoding="utf-8")
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in (CATCH, PROBE)
    ]
    text = text.replace("script-src ", f"script-src {' '.join(hashes)} ", 1)
    text = text.replace("<title>", f"<script>{CATCH}</script><title>", 1)
    copy = page.with_name("probed.html")
    copy.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    return copy


def opened(page: Path, profile: Path, *flags: str) -> str:
    """What the browser makes of the page; its own log is on stderr."""
    command = [
        str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", f"--user-data-dir={profile}",
        *flags, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout


def probed(page: Path, profile: Path, *flags: str) -> dict:
    return read_probe(opened(with_probe(page), profile, "--dump-dom", *flags))


def read_probe(dom: str) -> dict:
    found = re.search(r"<title>PROBE(.*?)END</title>", dom, re.S)
    assert found, "the probe did not finish"
    return json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


def test_search_and_arms_work_without_error_or_request(page: Path, tmp_path: Path) -> None:
    seen = probed(page, tmp_path / "profile", "--window-size=1100,900")
    assert (seen["errors"], seen["requests"]) == ([], [])
    assert (seen["cards"], seen["bar"]) == (24, 1)
    assert seen["rows"] == 24 * 7
    assert 1 <= seen["found"] < seen["cards"]
    assert re.fullmatch(r"\d+ of \d+ examples", seen["said"])
    assert seen["none"] == 0
    assert (seen["without"], seen["one"]) == (0, 24)
    assert seen["craft"] == 12


def test_a_phone_needs_no_sideways_scrolling(page: Path, tmp_path: Path) -> None:
    """A window has a least width, a frame has none: 390 pixels, as on a phone."""
    inner = with_probe(page)
    frame = inner.with_name("phone.html")
    frame.write_text(
        f'<title>phone</title><iframe width="390" height="844" src="{inner.name}"></iframe>'
        "<script>addEventListener('message', (m) => { document.title = m.data; });</script>",
        encoding="utf-8",
    )
    dom = opened(frame, tmp_path / "profile", "--dump-dom", "--virtual-time-budget=20000")
    seen = read_probe(dom)
    assert seen["width"] == 390
    assert seen["wide"]
    assert (seen["errors"], seen["requests"]) == ([], [])


def test_light_dark_and_print_differ(page: Path, tmp_path: Path) -> None:
    from PIL import Image

    def corner(name: str, *flags: str) -> tuple[int, ...]:
        path = tmp_path / f"{name}.png"
        size = "--window-size=900,600"
        opened(page, tmp_path / "profile", f"--screenshot={path}", size, *flags)
        return Image.open(path).convert("RGB").getpixel((3, 3))  # type: ignore[return-value]

    light, dark = corner("light"), corner("dark", "--blink-settings=preferredColorScheme=0")
    assert sum(light) > 700
    assert sum(dark) < 150
    pdf = tmp_path / "page.pdf"
    opened(page, tmp_path / "profile", f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    assert pdf.read_bytes()[:5] == b"%PDF-"
    assert pdf.stat().st_size > 50_000
