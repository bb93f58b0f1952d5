"""The methods of the SSVR paper and their references, as functions of parameters and step size, for the tests beside this file."""

from __future__ import annotations

from methods.sign.baselines import SGD, AdamW
from methods.sign.signsgd import EFSignSGD, SignSGD, SignSGDSIM, SignSVRG
from methods.sign.ssvr import SSVR, SSVRFS

ALL = {
    "ssvr": lambda p, lr=0.01, **k: SSVR(p, lr=lr, beta=0.3, **k),
    "ssvr_fs": lambda p, lr=0.01, **k: SSVRFS(p, lr=lr, **k),
    "ssvr_fs_spider": lambda p, lr=0.01, **k: SSVRFS(p, lr=lr, form="spider", **k),
    "signsgd": lambda p, lr=0.01: SignSGD(p, lr=lr),
    "signsgd_sim": lambda p, lr=0.01: SignSGDSIM(p, lr=lr, beta=0.2),
    "ef_signsgd": lambda p, lr=0.01: EFSignSGD(p, lr=lr),
    "signsvrg": lambda p, lr=0.01, **k: SignSVRG(p, lr=lr, **k),
    "sgd": lambda p, lr=0.01: SGD(p, lr=lr),
    "adamw": lambda p, lr=0.01: AdamW(p, lr=lr),
}
WITH_BUFFERS = ["ssvr", "ssvr_fs", "ssvr_fs_spider", "signsvrg"]
