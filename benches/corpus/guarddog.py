#!/usr/bin/env python3
"""GuardDog and redhold on the same corpus in one run, side by side.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install guarddog
    benches/corpus/guarddog.py --guarddog /tmp/venv/bin/guarddog [words for the bench, as --quick or --seed 3]

Writes the generated packages with their dependencies as folders, fetches the real ones with `npm pack`, has GuardDog scan each
folder, and runs the bench with the same words. GuardDog's metadata rules ask services on the Internet and stay out; its
rules on source code and manifests run without a network. It scans a package and not its closure, so the dependencies of the
real ones are not looked at, while those of the generated ones lie in the same folder.
"""

import argparse
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ["cargo", "bench", "-p", "supervisor", "--bench", "corpus", "--"]


def scan(guarddog, folder):
    """The score from 0 to 10, its label, and how many seconds it took; a score of -1 where GuardDog fails."""
    start = time.monotonic()
    done = subprocess.run(
        [guarddog, "npm", "scan", "--output-format", "json", str(folder)], capture_output=True, text=True, check=False
    )
    took = time.monotonic() - start
    try:
        said = json.loads(done.stdout)["risk_score"]
        return said["score"], said["label"], took
    except (ValueError, KeyError):
        print(f"GuardDog fails on {folder}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return -1, "failed", took


def fetch_real(into):
    """The real packages' own archives, unpacked; gives their folders by name@version."""
    listed = json.loads((ROOT / "benches/corpus/packages.json").read_text())
    folders = {}
    for one in listed:
        spec = f"{one['name']}@{one['version']}"
        place = into / spec.replace("/", "+")
        place.mkdir()
        packed = subprocess.run(
            ["npm", "pack", "--silent", "--pack-destination", str(place), spec], capture_output=True, text=True, check=False
        )
        archives = list(place.glob("*.tgz"))
        if packed.returncode != 0 or not archives:
            print(f"npm cannot fetch {spec}: {packed.stderr.strip()[-200:]}", file=sys.stderr)
            continue
        with tarfile.open(archives[0]) as archive:
            archive.extractall(place, filter="data")
        archives[0].unlink()
        folders[spec] = place
    return folders


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guarddog", default="guarddog", help="its executable")
    parser.add_argument("--bench", help="the bench's executable, when it is built already")
    parser.add_argument("--results", help="what the bench wrote with --to, when it ran already")
    known, words = parser.parse_known_args()
    bench = [known.bench] if known.bench else BENCH
    with tempfile.TemporaryDirectory(prefix="redhold-corpus-") as name:
        folder = pathlib.Path(name)
        subprocess.run([*bench, *words, "--write", str(folder / "made")], cwd=ROOT, check=True)
        results = known.results or folder / "results.json"
        if not known.results:
            # It ends with 1 when a bound is missed, which its own table tells.
            subprocess.run([*bench, *words, "--to", str(results)], cwd=ROOT, check=False)
        results = json.loads(pathlib.Path(results).read_text())
        real = fetch_real(folder) if any(one["kind"] == "real" for one in results) else {}
        folders = {f"{path.name}@1.0.0": path for path in (folder / "made").iterdir() if path.is_dir()} | real
        todo = [one for one in results if one["package"] in folders]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            scans = list(pool.map(lambda one: scan(known.guarddog, folders[one["package"]]), todo))
    table(todo, scans)


def table(results, scans):
    """A row for each behaviour and for each kind of benign package."""
    rows = {}
    for one, (score, label, took) in zip(results, scans):
        row = rows.setdefault(one["id"] if one["kind"] == "attack" else one["kind"], [])
        row.append((one["verdict"], score, label, one["seconds"], took))
    head = f"{'':9} {'samples':>7}  {'redhold: refused':>16} {'review':>6} {'trusted':>7}  "
    print(head + f"{'GuardDog: any risk':>18} {'medium up':>9} {'none':>5}")
    total = []
    for name, row in sorted(rows.items(), key=lambda item: (item[0] in ("twin", "real"), item[0])):
        if name in ("twin", "real") and total:
            line("attacks", total)
            total = []
        line(name, row)
        if name not in ("twin", "real"):
            total += row
    if total:
        line("attacks", total)
    every = [entry for row in rows.values() for entry in row]
    middle = lambda values: sorted(values)[len(values) // 2]
    print(f"median time: redhold {middle([e[3] for e in every]):.2f} s, GuardDog {middle([e[4] for e in every]):.2f} s")


def line(name, row):
    """One row."""
    verdict = lambda wanted: sum(entry[0] == wanted for entry in row)
    risky = sum(entry[1] > 0 for entry in row)
    medium = sum(entry[2] in ("medium", "high", "critical") for entry in row)
    print(
        f"{name:9} {len(row):7}  {verdict('refused'):16} {verdict('review'):6} {verdict('trusted'):7}  "
        f"{risky:18} {medium:9} {sum(entry[1] == 0 for entry in row):5}"
    )


if __name__ == "__main__":
    main()
