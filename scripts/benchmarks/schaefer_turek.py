"""Flow past a cylinder at Re = 100 (DFG 2D-2) beside the published ranges, at three resolutions.

    python scripts/benchmarks/schaefer_turek.py                # minutes; one thread
    python scripts/benchmarks/schaefer_turek.py --only coarse

Writes results/schaefer_turek.json. The coefficients are maxima over the last six periods of a run
of 8 s; times a step are CPU time of the march, without the start.
"""

import argparse
import json
import os
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from meshgnn.fem.wake import force_coefficients
from meshgnn.geometry.channel import schaefer_turek
from meshgnn.metrics import shedding_frequency
from meshgnn.problems.channel_flow import parabolic
from meshgnn.problems.navier_stokes import NavierStokes

RESULTS = Path(__file__).resolve().parent / "results" / "schaefer_turek.json"
SPEED, DIAMETER, VISCOSITY = 1.0, 0.1, 1e-3
RANGES = {"cd_max": (3.22, 3.24), "cl_max": (0.99, 1.01), "strouhal": (0.295, 0.305)}
# edge length far away and at the cylinder, time step
CASES = {
    "coarse": (0.05, 0.010, 0.005),
    "medium": (0.05, 0.010, 0.0025),
    "fine": (0.05, 0.008, 0.002),
}
END, KEPT = 8.0, 2.0


def run(name: str) -> dict:
    """One resolution: what is measured, and whether it lies in the published ranges."""
    h, at_cylinder, step = CASES[name]
    mesh = schaefer_turek(h, at_cylinder)
    inflow = parabolic(mesh, "inlet", SPEED)
    problem = NavierStokes(
        np.linspace(0, END, round(END / step) + 1),
        VISCOSITY,
        inflow,
        {"inlet": inflow, "walls": 0.0, "obstacle": 0.0},
        {"outlet": 0.0},
    )
    march = problem.march(mesh)
    states = problem.states(march)
    next(states)
    begin, forces, spent = process_time(), [], 0.0
    for flow in states:
        spent += process_time() - begin
        if flow.time > END - KEPT:
            forces.append(march.force(flow, "obstacle"))
        begin = process_time()
    drag, lift = force_coefficients(np.array(forces), SPEED, DIAMETER).T
    found = {
        "cd_max": float(drag.max()),
        "cl_max": float(lift.max()),
        "strouhal": shedding_frequency(lift, step) * DIAMETER / SPEED,
    }
    inside = {key: low <= found[key] <= high for key, (low, high) in RANGES.items()}
    return {
        "vertices": mesh.num_nodes,
        "velocity_dofs": len(march.spaces.space.points) * 2,
        "edge_at_cylinder": at_cylinder,
        "dt": step,
        **{key: round(value, 4) for key, value in found.items()},
        "inside": inside,
        "ms_per_step": round(1e3 * spent / (len(problem.times) - 1), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CASES)
    only = parser.parse_args().only
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    result["published"] = RANGES
    for name in [only] if only else CASES:
        result[name] = run(name)
        print(name, json.dumps(result[name]), flush=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
