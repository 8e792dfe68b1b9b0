"""Generated houses in the columns of the Ames data, with prices whose noise is known.

Holds the generator; no row of any real data is in it, and no statistic but rough ranges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dope.plugins.tabular.table import Table

TARGET = "SalePrice"
QUALITY = "Po Fa TA Gd Ex"


def _parsed(text: str) -> dict[str, tuple[str, float]]:
    """``name share: words`` a line, and lines that go on indented, as name to words and share."""
    found = {}
    for line in text.replace("\n    ", " ").strip().splitlines():
        name, _, words = line.partition(":")
        column, share = name.split()
        found[column] = (words.strip(), float(share))
    return found


_SIZES = {  # column: typical value, spread of its logarithm, share of zeros, share of missing
    "LotFrontage": (70, 0.3, 0, 0.17), "LotArea": (9500, 0.45, 0, 0),
    "MasVnrArea": (170, 0.8, 0.6, 0.01), "BsmtFinSF1": (560, 0.7, 0.3, 0),
    "BsmtFinSF2": (300, 0.8, 0.88, 0), "BsmtUnfSF": (500, 0.7, 0.08, 0),
    "TotalBsmtSF": (1000, 0.35, 0.03, 0), "1stFlrSF": (1100, 0.3, 0, 0),
    "2ndFlrSF": (800, 0.3, 0.57, 0), "LowQualFinSF": (300, 0.5, 0.98, 0),
    "GrLivArea": (1450, 0.33, 0, 0), "GarageArea": (490, 0.35, 0.05, 0),
    "WoodDeckSF": (170, 0.6, 0.52, 0), "OpenPorchSF": (70, 0.7, 0.45, 0),
    "EnclosedPorch": (140, 0.5, 0.86, 0), "3SsnPorch": (200, 0.5, 0.98, 0),
    "ScreenPorch": (180, 0.4, 0.92, 0), "PoolArea": (500, 0.2, 0.995, 0),
    "MiscVal": (700, 0.8, 0.96, 0),
}  # fmt: skip
_COUNTS = {  # column: chances of 0, 1, 2 …
    "BsmtFullBath": (0.58, 0.4, 0.02),
    "BsmtHalfBath": (0.94, 0.06),
    "FullBath": (0.01, 0.44, 0.53, 0.02),
    "HalfBath": (0.62, 0.37, 0.01),
    "BedroomAbvGr": (0.01, 0.04, 0.25, 0.55, 0.14, 0.01),
    "KitchenAbvGr": (0, 0.95, 0.05),
    "TotRmsAbvGrd": (0, 0, 0, 0.01, 0.07, 0.19, 0.28, 0.23, 0.13, 0.06, 0.03),
    "Fireplaces": (0.47, 0.45, 0.08),
    "GarageCars": (0.05, 0.25, 0.57, 0.13),
    "OverallQual": (0, 0.01, 0.01, 0.02, 0.08, 0.27, 0.25, 0.22, 0.1, 0.03, 0.01),
    "OverallCond": (0, 0.01, 0.01, 0.02, 0.04, 0.56, 0.17, 0.14, 0.05),
    "MoSold": (0, *[1 / 12] * 12),
}
# column and share of NA: its words, the frequent ones first
_WORDS = _parsed(
    """
MSSubClass 0: 20 60 50 120 30 160 70 80 90 190 85 75 45 180 40
MSZoning 0: RL RM FV RH C
Street 0: Pave Grvl
Alley 0.94: Grvl Pave
LotShape 0: Reg IR1 IR2 IR3
LandContour 0: Lvl Bnk HLS Low
Utilities 0: AllPub NoSeWa
LotConfig 0: Inside Corner CulDSac FR2 FR3
LandSlope 0: Gtl Mod Sev
Neighborhood 0: NAmes CollgCr OldTown Edwards Somerst Gilbert NridgHt Sawyer NWAmes SawyerW
    BrkSide Crawfor Mitchel NoRidge Timber IDOTRR ClearCr StoneBr SWISU MeadowV Blmngtn BrDale
Condition1 0: Norm Feedr Artery RRAn PosN
Condition2 0: Norm Feedr
BldgType 0: 1Fam TwnhsE Duplex Twnhs 2fmCon
HouseStyle 0: 1Story 2Story 1.5Fin SLvl SFoyer
RoofStyle 0: Gable Hip Flat
RoofMatl 0: CompShg WdShngl
Exterior1st 0: VinylSd HdBoard MetalSd Plywood CemntBd Stucco
Exterior2nd 0: VinylSd MetalSd HdBoard Plywood CmentBd Stucco
MasVnrType 0.01: None BrkFace Stone BrkCmn
ExterQual 0: TA Gd Ex Fa
ExterCond 0: TA Gd Fa Ex
Foundation 0: PConc CBlock BrkTil Slab
BsmtQual 0.03: TA Gd Ex Fa
BsmtCond 0.03: TA Gd Fa Po
BsmtExposure 0.03: No Av Gd Mn
BsmtFinType1 0.03: Unf GLQ ALQ BLQ Rec LwQ
BsmtFinType2 0.03: Unf Rec LwQ BLQ
Heating 0: GasA GasW Grav
HeatingQC 0: Ex TA Gd Fa Po
CentralAir 0: Y N
Electrical 0.001: SBrkr FuseA FuseF
KitchenQual 0: TA Gd Ex Fa
Functional 0: Typ Min2 Min1 Mod
FireplaceQu 0.47: Gd TA Fa Ex Po
GarageType 0.05: Attchd Detchd BuiltIn Basment
GarageFinish 0.05: Unf RFn Fin
GarageQual 0.05: TA Fa Gd
GarageCond 0.05: TA Fa Gd
PavedDrive 0: Y N P
PoolQC 0.995: Ex Gd Fa
Fence 0.8: MnPrv GdPrv GdWo
MiscFeature 0.96: Shed Gar2
SaleType 0: WD New COD ConLD
SaleCondition 0: Normal Partial Abnorml Family
"""
)
ORDER = [
    "MSSubClass", "MSZoning", "LotFrontage", "LotArea", "Street", "Alley", "LotShape",
    "LandContour", "Utilities", "LotConfig", "LandSlope", "Neighborhood", "Condition1",
    "Condition2", "BldgType", "HouseStyle", "OverallQual", "OverallCond", "YearBuilt",
    "YearRemodAdd", "RoofStyle", "RoofMatl", "Exterior1st", "Exterior2nd", "MasVnrType",
    "MasVnrArea", "ExterQual", "ExterCond", "Foundation", "BsmtQual", "BsmtCond",
    "BsmtExposure", "BsmtFinType1", "BsmtFinSF1", "BsmtFinType2", "BsmtFinSF2", "BsmtUnfSF",
    "TotalBsmtSF", "Heating", "HeatingQC", "CentralAir", "Electrical", "1stFlrSF", "2ndFlrSF",
    "LowQualFinSF", "GrLivArea", "BsmtFullBath", "BsmtHalfBath", "FullBath", "HalfBath",
    "BedroomAbvGr", "KitchenAbvGr", "KitchenQual", "TotRmsAbvGrd", "Functional", "Fireplaces",
    "FireplaceQu", "GarageType", "GarageYrBlt", "GarageFinish", "GarageCars", "GarageArea",
    "GarageQual", "GarageCond", "PavedDrive", "WoodDeckSF", "OpenPorchSF", "EnclosedPorch",
    "3SsnPorch", "ScreenPorch", "PoolArea", "PoolQC", "Fence", "MiscFeature", "MiscVal",
    "MoSold", "YrSold", "SaleType", "SaleCondition",
]  # fmt: skip


def generated(
    rows: int, more: int = 0, *, noise: float = 0.1, seed: int = 0
) -> tuple[Table, Table]:
    """Houses with prices, and further ones without.

    Parameters
    ----------
    rows, more
        How many of each.
    noise
        Standard deviation of the logarithm of a price around what its columns say: no prediction
        can have a smaller log-RMSE, but by chance.
    seed
        Of all that is drawn.
    """
    rng = np.random.default_rng([seed, 7])
    n = rows + more
    cells: dict[str, np.ndarray] = {}
    for name, (typical, spread, zeros, missing) in _SIZES.items():
        sizes = np.round(typical * np.exp(spread * rng.normal(size=n)))
        sizes[rng.random(n) < zeros] = 0
        cells[name] = _text(sizes, rng.random(n) < missing)
    for name, chances in _COUNTS.items():
        drawn = rng.choice(len(chances), size=n, p=np.array(chances) / sum(chances))
        cells[name] = _text(drawn, np.zeros(n, bool))
    for name, (words, missing) in _WORDS.items():
        known = np.array(words.split(), dtype=object)
        shares = 0.65 ** np.arange(len(known)) if len(known) < 15 else 0.9 ** np.arange(len(known))
        drawn = rng.choice(known, size=n, p=shares / shares.sum())
        cells[name] = np.where(rng.random(n) < missing, "NA", drawn)
    built = np.round(2009 - rng.gamma(1.6, 24, size=n)).clip(1872)
    sold = rng.integers(2006, 2011, size=n)
    cells["YearBuilt"], cells["YrSold"] = (_text(x, np.zeros(n, bool)) for x in (built, sold))
    changed = np.maximum(built, np.where(rng.random(n) < 0.5, 2009 - rng.integers(0, 60, n), 0))
    cells["YearRemodAdd"] = _text(changed, np.zeros(n, bool))
    cells["GarageYrBlt"] = _text(built, cells["GarageType"] == "NA")
    prices = np.exp(log_price(cells) + noise * rng.normal(size=n))
    columns = {"Id": _text(np.arange(1, n + 1), np.zeros(n, bool))}
    columns.update({name: cells[name] for name in ORDER})
    columns[TARGET] = _text(np.round(prices), np.zeros(n, bool))
    where = f"generated houses (seed {seed})"
    train = Table(where, _cut(columns, 0, rows), range(2, rows + 2))
    del columns[TARGET]
    return train, Table(f"{where}, without prices", _cut(columns, rows, n), range(2, more + 2))


def log_price(cells: dict[str, np.ndarray]) -> np.ndarray:
    """What the columns say of the logarithm of a price, (n,): the truth that a model looks for."""
    x = {
        name: cells[name].astype(float)
        for name in ("GrLivArea", "LotArea", "TotalBsmtSF", "OverallQual", "OverallCond")
    }
    more = {
        name: cells[name].astype(float)
        for name in ("YearBuilt", "GarageCars", "Fireplaces", "FullBath")
    }
    area, quality = np.log(x["GrLivArea"] / 1450), x["OverallQual"] - 6
    found = 12.0 + 0.5 * area + 0.09 * quality + 0.05 * area * quality
    found += 0.07 * np.log(x["LotArea"] / 9500) + 0.12 * x["TotalBsmtSF"] / 1000
    found += 0.04 * (x["OverallCond"] - 5) + 0.002 * (more["YearBuilt"] - 1970)
    found += 0.05 * more["GarageCars"] + 0.04 * more["Fireplaces"] + 0.03 * more["FullBath"]
    hoods = _WORDS["Neighborhood"][0].split()
    found += 0.12 * np.sin(2.4 * np.array([hoods.index(each) for each in cells["Neighborhood"]]))
    ranks = QUALITY.split()
    found += 0.04 * (np.array([ranks.index(each) for each in cells["KitchenQual"]]) - 2)
    found += np.where(cells["CentralAir"] == "Y", 0.0, -0.08)
    found += np.where(cells["SaleCondition"] == "Abnorml", -0.1, 0.0)
    return found - 0.1 * (cells["MSZoning"] == "RM") - 0.3 * (cells["MSZoning"] == "C")


def _text(numbers: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Whole numbers as cells."""
    return np.where(missing, "NA", np.array([str(int(x)) for x in numbers], dtype=object))


def _cut(columns: dict[str, np.ndarray], begin: int, end: int) -> dict[str, Sequence[str]]:
    return {name: [str(cell) for cell in cells[begin:end]] for name, cells in columns.items()}
