"""scikit-learn's models on the folds that dope has written; does not import dope.

Random forest as the book has it, and ridge regression on scaled columns with logarithms; run as a
child with the Python of another environment.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV


def scored(folder: Path) -> dict[str, list[float]]:
    """Root mean squared errors of log prices, a fold each, by model; and seconds of each model."""
    found: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for path in sorted(folder.glob("fold-*.npz")):
        with np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
        y, truth = np.log(arrays["train_price"]), np.log(arrays["valid_price"])
        models = {
            # the strength is chosen among the training rows alone
            "ridge": ("scaled", RidgeCV(alphas=np.logspace(0, 3, 13))),
            "ridge, numbers cut off": ("cut", RidgeCV(alphas=np.logspace(0, 3, 13))),
            "random forest": ("plain", RandomForestRegressor(300, random_state=0, n_jobs=1)),
        }
        for name, (form, model) in models.items():
            began = time.process_time()
            model.fit(arrays[f"train_{form}"], y)
            wrong = model.predict(arrays[f"valid_{form}"]) - truth
            found.setdefault(name, []).append(float(np.sqrt((wrong**2).mean())))
            seconds[name] = seconds.get(name, 0.0) + time.process_time() - began
    return {"scores": found, "seconds": seconds, "version": sklearn.__version__}


if __name__ == "__main__":
    print(json.dumps(scored(Path(sys.argv[1]))))
