"""Command lines that people mistype: each ends in one line on stderr and exit code 2, and nothing is computed; a few are fine.

A row: what is wrong, the arguments after `python run.py` ({small} stands for a run of seconds), what the line says (a regular expression).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import forks
import pytest
from conftest import clean_env

SMALL = "method=signsgd dataset=digits scale=smoke"
AT_ONCE, PARTS = 2, 8  # processes, and tests that the table is dealt out to
FINE = "fine"
NINES = "9" * 5000
DEEP = "[" * 300 + "]" * 300

GRAMMAR = [
    ("no equals sign", "{small} method.lr", "'method.lr'.*write key=value"),
    ("a dash less", "{small} -multirun", "--multirun.*ultirun"),
    ("open bracket", "{small} seeds=[0,", "seeds=.*lists as"),
    ("open brace", "{small} task.grid={a:", "task.grid.*lists as"),
    ("open quote", """{small} "method.lr='0.1" """, "method.lr='0.1.*quote"),
    ("open interpolation", "{small} 'method.lr=${method.lr'", r"method.lr=\$\{method.lr.*write key=value"),
    ("empty argument", "{small} ''", "an argument that is empty"),
    ("a space", "{small} ' '", "an argument that is empty"),
    ("a lone equals sign", "{small} =", "=: no key before.*write key=value"),
    ("no key", "{small} =3", "=3: no key before.*write key=value"),
    ("a lone plus", "{small} +", "write key=value"),
    ("a lone tilde", "{small} '~'", "~: no key.*write key=value"),
    ("three pluses", "{small} +++method.lr=1", "write key=value"),
    ("a dot too many", "{small} method..lr=0.1", r"method\.\.lr"),
    ("a dot at the end", "{small} method.=0.1", r"method\.=0.1"),
    ("Greek key", "{small} method.λr=0.1", "λr.*write key=value"),
    ("Arabic digit", "{small} method.lr=٣", "٣.*write key=value"),
    ("emoji", "{small} 'seeds=[😀]'", "😀.*write key=value"),
    ("300 nested brackets", f"{{small}} 'seeds={DEEP}'", "brackets nested more than 30 deep"),
    ("300 nested braces", "{small} 'task.x=" + "{a:" * 300 + "1" + "}" * 300 + "'", "brackets nested more than 30 deep"),
    ("5,000 digits", f"{{small}} method.lr={NINES}", "method.lr=9+.*a number of more than 1000 digits"),
    ("5,000 digits in a list", f"{{small}} seeds=[{NINES}]", "a number of more than 1000 digits"),
    ("5,000 digits with underscores", f"{{small}} method.lr={'9_9' * 2500}", "a number of more than 1000 digits"),
    ("a cast of nothing", "{small} 'method.lr=int()'", "method.lr=int.*write key=value"),
    ("a cast of a word", "{small} 'method.lr=float(fast)'", "method.lr.*fast"),
    ("an unknown function", "{small} 'method.lr=square(3)'", "square"),
    ("an unknown flag", "--frobnicate {small}", "--frobnicate.*--help"),
    ("two commands", "--cfg job -m {small}", "only one of --run, --multirun"),
    ("resolve alone", "--resolve {small}", "--resolve: only with --cfg"),
    ("a kind of config", "--cfg nothing {small}", "--cfg.*invalid choice"),
    ("a kind of information", "--info nothing {small}", "--info.*invalid choice"),
    ("a package that is not there", "{small} --cfg job --package nope", "package 'nope' not found"),
    ("a config folder", "--config-dir=/nope {small}", "/nope.*not found"),
    ("a config path", "--config-path=/nope {small}", "config directory.*/nope"),
    ("a config name", "--config-name=nope {small}", "nope"),
]  # fmt: skip
OPTIONS = [
    ("method null", "method=null dataset=digits", "method = null: the name of one option; allowed: .* in all"),
    ("method 3", "method=3 dataset=digits", "method = 3: the name of one option"),
    ("method true", "method=true dataset=digits", "method = True: the name of one option"),
    ("method a list", "method=[ssvr] dataset=digits", "method = .*ssvr.*: the name of one option.*did you mean 'ssvr'"),
    ("method a mapping", "method={lr:1} dataset=digits", "method = .*: the name of one option"),
    ("method empty", "method= dataset=digits", "method = '': the name of one option"),
    ("method misspelt", "method=sssvr dataset=digits", "method = 'sssvr': unknown; allowed: ssvr, .*[0-9]+ in all.*did you mean 'ssvr'"),
    ("method in capitals", "method=SSVR dataset=digits", "method = 'SSVR': unknown"),
    ("method a path", "method=../../etc/passwd dataset=digits", "passwd': unknown"),
    ("method absolute", "method=/etc/passwd dataset=digits", "passwd': unknown"),
    ("two methods without -m", "method=ssvr,adamw dataset=digits", "Ambiguous value.*add -m"),
    ("data set misspelt", "method=ssvr dataset=cifr10", "dataset = 'cifr10': unknown; .*did you mean 'cifar10'"),
    ("data set null", "method=ssvr dataset=null", "dataset = null: the name of one option"),
    ("model misspelt", "{small} model=mpl", "model = 'mpl': unknown; .*did you mean 'mlp'"),
    ("model null", "{small} model=null", "model = null: the name of one option"),
    ("schedule misspelt", "{small} schedule=cosin", "schedule = 'cosin': unknown; allowed: constant, cosine, steps, theory"),
    ("tracker misspelt", "{small} tracker=mlflow", "tracker = 'mlflow': unknown; allowed: none, wandb"),
    ("tracker null", "{small} tracker=null", "tracker = null: the name of one option; allowed: none, wandb"),
    ("hardware misspelt", "{small} hardware=tpu", "hardware = 'tpu': unknown; allowed: auto, cpu, ddp, gpu, ray, slurm"),
    ("task of others", "{small} task=portfolio", "task = 'portfolio': data set 'digits' brings its own, 'classification'"),
    ("task misspelt", "{small} task=classifikation", "task = 'classifikation': unknown; .*did you mean 'classification'"),
    ("experiment null", "{small} experiment=null", "experiment = null: the name of an experiment; leave it out"),
    ("experiment a folder", "experiment=ssvr", "experiment = 'ssvr': unknown; allowed: ([a-z0-9]+/[a-z_0-9]+, ){5}.*ssvr/.*[0-9]+ in all"),
    ("experiment misspelt", "experiment=ssvr/digit", "experiment = 'ssvr/digit': unknown; .*did you mean 'ssvr/digits'"),
    ("experiment of another paper", "experiment=r2sgld/x", "experiment = 'r2sgld/x': unknown; .*[0-9]+ in all; `python run.py --help`"),
    ("no data set", "'~dataset'", "dataset: missing value; allowed: "),
    ("no task", "{small} '~task'", "task: missing value; allowed: classification"),
    ("no method", "'~method'", "method: missing value"),
    ("a method that does not fit", "method=ngvi dataset=digits", "method 'ngvi' .*; data set 'digits' .*Data sets that fit: "),
    ("a data set that does not fit", "method=ssvr dataset=nyse_o", "'nyse_o' is a series of price relatives"),
    ("another launcher", "-m {small} hydra/launcher=nope", "hydra/launcher = 'nope': unknown; allowed: .*basic"),
    ("another sweeper", "-m {small} hydra/sweeper=optuna", "hydra/sweeper = 'optuna': unknown; allowed: basic"),
]  # fmt: skip
KEYS = [
    ("a key misspelt", "{small} method.lrr=3", "method.lrr = '3': unknown key; allowed: lr, weight_decay; did you mean 'lr'"),
    ("an added key", "{small} +method.lrr=3", "method.lrr = 3: unknown key; allowed: lr, weight_decay; did you mean 'lr'"),
    ("a key below a number", "{small} +method.lr.x=1", r"method.lr = \{'x': 1\}: must be a number"),
    ("a key of another method", "{small} method.geometry=free", "method.geometry = 'free': unknown key; allowed: lr, weight_decay"),
    ("a key of another task", "{small} task.costs=[0.1]", "task.costs = .*unknown key"),
    ("a top-level key", "{small} foo=1", "foo = '1': unknown key; .*`python run.py --help`"),
    ("an added top-level key", "{small} +foo=1", "foo = 1: unknown key"),
    ("seed for seeds", "{small} seed=[0]", r"seed = '\[0\]': unknown key; .*did you mean 'seeds'"),
    ("Hydra's unknown key", "{small} hydra.nope=1", "hydra.nope = '1': unknown key$"),
    ("a hardware key", "{small} +hardware.gpus=2", "hardware.gpus = 2: unknown key; allowed: channels_last"),
    ("a tracker key", "{small} +tracker.tags=[a]", "tracker.tags = .*unknown key; allowed: entity, kind, mode, project"),
    ("a required key deleted", "{small} '~method.lr'", "method.lr: missing value"),
    ("seeds deleted", "{small} '~seeds'", "seeds: missing value"),
    ("a key that is not there deleted", "{small} '~method.lrr'", "method.lrr"),
    ("an unfilled value", "{small} 'method.lr=???'", "method.lr: missing value"),
    ("a target of the system", "{small} method._target_=os.system", r"method._target_ = 'os.system': not in bench, .*extensions: \[os\]"),
    ("a target of a library", "{small} method._target_=sklearn.svm.SVC", r"not in .*torch.optim; .*extensions: \[sklearn\]"),
    ("a target that a file imports", "{small} method._target_=bench.run.store.Path", r"\(from pathlib.Path\): not in"),
    ("a module inside a module", "{small} method._target_=bench.run.store.os.system", "bench.run.store.os.system': no such class"),
    ("a prefix of a name", "{small} method._target_=benchmarks.Foo", r"not in .*extensions: \[benchmarks\]"),
    ("a target without module", "{small} method._target_=SGD", "method._target_ = 'SGD': not in"),
    ("a target empty", "{small} method._target_=", "method._target_: missing value"),
    ("a target that is a number", "{small} method._target_=3", "method._target_: missing value"),
    ("a target that is no name", "{small} 'method._target_=methods/sign/ssvr.py'", "no name of a class"),
    ("a target that is a folder", "{small} method._target_=methods.sign", "methods.sign': no such class or function"),
    ("a target that does not exist", "{small} method._target_=methods.sign.ssvr.SVR", "methods.sign.ssvr.SVR': no such class"),
    ("a data set's target", "{small} dataset._target_=subprocess.run", r"dataset._target_ = 'subprocess.run': not in"),
    ("a callback", "{small} +hydra.callbacks.x._target_=os.system", "callbacks are code"),
    ("callbacks at once", "{small} '+hydra.callbacks={x:{_target_:os.system}}'", "callbacks are code"),
    ("a launcher's target", "-m {small} hydra.launcher._target_=os.system", "hydra.launcher._target_ = 'os.system': Hydra's own"),
    ("a log handler", "{small} '+hydra.job_logging.handlers.x.class=os.system'", "a handler of Python's logging alone"),
    ("a log factory", "{small} '+hydra.job_logging={handlers:{x:{\"()\":os.system}}}'", "hydra.job_logging|write key=value"),
    ("an extension that is no name", "{small} 'extensions=[a b]'", "extensions.0 = 'a b': must be a name"),
    ("extensions a word", "{small} extensions=torch", "extensions = 'torch': must be a list"),
    ("tasks empty", "{small} method.tasks=[]", r"method.tasks = \[\]: a list of tasks"),
    ("tasks unknown", "{small} method.tasks=[foo]", r"method.tasks = \['foo'\]: a list of tasks"),
]  # fmt: skip
VALUES = [
    ("lr nan", "{small} method.lr=nan", "method.lr = nan: must be a finite number"),
    ("lr inf", "{small} method.lr=inf", "method.lr = inf: must be a finite number"),
    ("lr -inf", "{small} method.lr=-inf", "method.lr = -inf: must be"),
    ("lr 1e999", "{small} method.lr=1e999", "method.lr = inf: must be a finite number"),
    ("lr zero", "{small} method.lr=0", "method.lr = 0: must be greater than 0$"),
    ("lr negative", "{small} method.lr=-1e-3", "method.lr = -0.001: must be greater than 0$"),
    ("lr a word", "{small} method.lr=fast", "method.lr = 'fast': must be a number"),
    ("lr quoted", "{small} \"method.lr='0.1'\"", "method.lr = '0.1': must be a number"),
    ("lr true", "{small} method.lr=true", "method.lr = True: must be a number"),
    ("lr null", "{small} method.lr=null", "method.lr = null: must be a number"),
    ("lr empty", "{small} method.lr=", "method.lr = '': must be a number"),
    ("lr a list", "{small} method.lr=[1,2]", r"method.lr = \[1, 2\]: must be a number; to sweep .* add -m"),
    ("lr a mapping", "{small} method.lr={a:1}", r"method.lr = \{'a': 1\}: must be a number"),
    ("lr a long word", "{small} method.lr=" + "x" * 3000, r"method.lr = 'x{119}\.\.\.: must be a number"),
    ("lr in two lines", "{small} 'method.lr=\"a\nb\"'", "method.lr"),
    ("beta above 1", "{small} method=ssvr method.beta=2", "method.beta = 2: must be less than or equal to 1$"),
    ("weight decay negative", "{small} method.weight_decay=-1", "method.weight_decay = -1: must be greater than or equal to 0"),
    ("epochs 0", "{small} task.epochs=0", "task.epochs = 0: must be greater than 0"),
    ("epochs 1.5", "{small} task.epochs=1.5", "task.epochs = 1.5: must be an integer"),
    ("epochs 1e3", "{small} task.epochs=1e3", "task.epochs = 1000.0: must be an integer"),
    ("crop padding", "{small} task.crop_padding=1000000000", "task.crop_padding = 1000000000: .* 8 pixels; at most 8"),
    ("batch too large", "{small} task.batch_size=100000", "at most 1437"),
    ("label smoothing nan", "{small} task.label_smoothing=nan", "task.label_smoothing = nan: must be a finite number"),
    ("selection", "{small} task.selection=best", "task.selection = 'best': must be 'last' or 'best_val'; did you mean"),
    ("flip a word", "{small} task.flip=maybe", "task.flip = 'maybe': must be true or false"),
    ("train size 0", "{small} dataset.train_size=0", "dataset.train_size = 0: must be greater than 0"),
    ("train size a word", "{small} dataset.train_size=all", "dataset.train_size = 'all': must be an integer"),
    ("label noise 2", "{small} dataset.label_noise=2", "dataset.label_noise = 2: must be less than or equal to 1"),
    ("model width", "{small} model=mlp model.hidden=[0]", "model.hidden"),
    ("seeds a number", "{small} seeds=3", r"seeds = 3: must be a list; write seeds=\[3\]"),
    ("seeds none", "{small} seeds=[]", "seeds = .*at least 1"),
    ("seeds null", "{small} seeds=null", "seeds = null: must be a list"),
    ("seeds twice", "{small} seeds=[1,1]", "distinct seeds only; 1 is repeated"),
    ("seeds negative", "{small} seeds=[-1]", "seeds.0 = -1: must be greater than or equal to 0"),
    ("seeds nested", "{small} seeds=[[0,1]]", r"seeds.0 = \[0, 1\]: must be an integer"),
    ("seeds a mapping", "{small} seeds={a:1}", "seeds"),
    ("seeds a word", "{small} seeds=[a]", "seeds.0 = 'a': must be an integer"),
    ("seeds inf", "{small} seeds=[inf]", "seeds.0 = inf: must be"),
    ("scale unknown", "{small} scale=medium", "^scale = 'medium': allowed: auto, mini, paper, smoke"),
    ("scale a list", "{small} scale=[mini]", r"^scale = .*allowed: auto, mini, paper, smoke"),
    ("scale null", "{small} scale=null", "^scale = .*allowed: auto, mini, paper, smoke"),
    ("force", "{small} force=maybe", "^force = 'maybe': must be true or false or 'stale'"),
    ("force a number", "{small} force=1", "^force = 1: must be true or false or 'stale'"),
    ("verbose", "{small} verbose=3", "verbose = 3: must be true or false"),
    ("checkpoints nan", "{small} checkpoint_every=nan", "checkpoint_every = nan: must be a finite number"),
    ("checkpoints negative", "{small} checkpoint_every=-1", "checkpoint_every = -1: must be greater than or equal to 0"),
    ("threads a million", "{small} hardware.threads=1000000", r"hardware.threads = 1000000: must be less than or equal to \d+"),
    ("threads 0", "{small} hardware.threads=0", "hardware.threads = 0: must be greater than 0"),
    ("threads a word", "{small} hardware.threads=two", "hardware.threads = 'two': must be an integer"),
    ("device", "{small} hardware.device=mps", "hardware.device = 'mps': must be 'auto', 'cpu' or 'cuda'"),
    ("precision", "{small} hardware.precision=fp16", "hardware.precision = 'fp16': .*did you mean 'bf16'"),
    ("tracker mode", "{small} tracker=wandb tracker.mode=ofline", "tracker.mode = 'ofline': .*did you mean 'offline'"),
    ("results null", "{small} results_root=null", "results_root = null: must be a string"),
    ("results empty", "{small} results_root=", "results_root = '': must be a string that is not empty"),
    ("results a list", "{small} results_root=[a]", "results_root = .*must be a string"),
    ("results a file", "{small} results_root=/etc/hostname", "results_root: cannot write /etc/hostname"),
    ("results nowhere", "{small} results_root=/proc/x", "results_root: cannot write /proc/x"),
    ("data null", "{small} data_root=null", "data_root = null: must be a string"),
    ("d negative in a list", "method=reuse_sgd dataset=single_index dataset.d=[-3,4]", "dataset.d.0 = -3: must be greater than 0"),
    ("d 0", "method=reuse_sgd dataset=single_index dataset.d=0", "dataset.d = 0: must be greater than 0"),
    ("d a word", "method=reuse_sgd dataset=single_index dataset.d=big", "dataset.d = 'big': must be an integer or a list"),
    ("signs", "method=regularised_gd dataset=teacher_student dataset.signs=[1,2]", "dataset.signs.1 = 2: must be -1 or 1"),
    ("coefficients nan", "method=reuse_sgd dataset=single_index dataset.link=hermite dataset.coefficients=[nan]", "coefficients.0 = nan"),
    ("samples inf", "method=reuse_sgd dataset=single_index task.samples=[inf]", "task.samples.0 = inf: must be a finite number"),
    ("condition", "method=ngvi dataset=linear_regression dataset.condition=0.5", "dataset.condition = 0.5: must be .*equal to 1$"),
    ("rho", "method=doubly_sgd dataset=gamma_quadratics method.rho=2", "method.rho = 2: must be less than or equal to 1$"),
    ("costs", "method=egab_n dataset=djia task.costs=[2.0]", "task.costs.0 = 2.0: must be less than or equal to 1$"),
    ("grid scalar", "method=egab_n dataset=djia task.selection=hindsight task.grid={eta:1.0}", r"task.grid.eta = 1.0: must be a list"),
    ("prices a number", "method=egab_n dataset=prices dataset.path=3", "dataset.path = 3: must be a string"),
    ("interpolation to itself", "{small} 'method.lr=${method.lr}'", "method.lr: Recursive interpolation"),
    ("interpolation to nothing", "{small} 'method.lr=${nope}'", "method.lr: Interpolation key 'nope' not found"),
    ("an unknown resolver", "{small} 'method.lr=${foo:1}'", "method.lr: Unsupported interpolation type foo"),
    ("scaled by one", "{small} 'method.lr=${scaled:1}'", "scaled.*1 values; one for each of smoke, mini, paper"),
    ("an absent variable", "{small} 'data_root=${oc.env:NOPE_NOT_SET}'", "data_root: .*NOPE_NOT_SET"),
]  # fmt: skip
SWEEPS = [
    ("a late value of the wrong type", "-m {small} method.lr=1e-3,fast", r"method.lr = 'fast': must be a number \(job 2 of 2: method.lr=fast\)"),
    ("a late value out of range", "-m {small} method.lr=1e-3,-1", r"method.lr = -1: must be greater than 0 \(job 2 of 2: method.lr=-1\)"),
    ("a late nan", "-m {small} method.lr=1e-3,nan", r"method.lr = nan: must be a finite number \(job 2 of 2"),
    ("what a constructor refuses", "-m method=sgd dataset=digits scale=smoke method.momentum=0.9,0 method.nesterov=true", "^method: .*Nesterov"),
    ("a late method", "-m method=signsgd,nope dataset=digits", r"method = 'nope': unknown.*\(job 2 of 2: method=nope\)"),
    ("a late method null", "-m method=signsgd,null dataset=digits", "method = null: the name of one option"),
    ("a late pair", "-m method=signsgd,egab_n dataset=digits", "method 'egab_n' chooses .*job 2 of 2: method=egab_n"),
    ("a key of one method", "-m method=ssvr,signsgd dataset=digits method.beta=0.1,0.2",
     r"method.beta = '0.1': unknown key; allowed: lr, weight_decay; of this sweep's only ssvr has it \(job 3 of 4: method=signsgd method.beta=0.1\)"),
    ("a misspelt key of two methods", "-m method=egd,online_sgd dataset=single_index method.geometri=free", "did you mean 'geometry'"),
    ("an empty range", "-m {small} 'method.lr=range(0)'", r"method.lr=range\(0\): no value to sweep over"),
    ("a backward range", "-m {small} 'method.lr=range(3,1)'", "method.lr=range.*no value to sweep over"),
    ("a range of steps of 0", "-m {small} 'task.epochs=range(0,3,0)'", "task.epochs=range|a sweep of more than"),
    ("a huge range", "-m {small} 'seeds=range(0,1000000000)'", "a sweep of more than 100000 jobs"),
    ("a huge product", "-m {small} 'task.epochs=range(1,1000)' 'task.batch_size=range(1,1000)'", "a sweep of more than 100000 jobs"),
    ("an empty choice", "-m 'method=choice()' dataset=digits", "choice"),
    ("a glob of nothing", "-m 'method=glob(zzz*)' dataset=digits", r"method=glob\(zzz\*\): matches nothing"),
    ("an interval", "-m {small} 'method.lr=interval(0,1)'", "interval|sweep type"),
    ("two experiments", "-m experiment=ssvr/digits,ssvr/identity_exact", "'ssvr/digits' is a sweep of its own, and would shrink to one job"),
    ("experiments by pattern", "-m 'experiment=glob(ssvr/*)'", "experiments are sweeps of their own"),
    ("one job of a sweep", "experiment=ssvr/identity_signsgd hydra.mode=RUN", "sweeps over method, and one job of it would run; add -m"),
    ("a sweep without -m", "{small} seeds=0,1", "Ambiguous value.*add -m, for a list"),
    ("an unknown mode", "{small} hydra.mode=SWEEP", "SWEEP"),
    ("seeds by name", "-m {small} seeds=0,a", r"seeds = 0: must be a list.*job 1 of 2"),
]  # fmt: skip
GOOD = [
    ("seeds as jobs", "-m {small} seeds=0,1", FINE),
    ("flags among overrides", "method=signsgd -m dataset=digits scale=smoke method.lr=0.001,0.002", FINE),
    ("methods by pattern", "-m 'method=glob(sgd*)' dataset=digits scale=smoke", FINE),
    ("a key that both methods have", "-m method=egd,online_sgd dataset=single_index scale=smoke method.geometry=free dataset.d=8", FINE),
    ("a huge seed", "{small} seeds=[1180591620717411303424]", FINE),
    ("a tab before a number", "{small} 'method.lr=\t0.001'", FINE),
    ("the later of two options", "method=ssvr {small}", FINE),
    ("a key of Hydra's", "{small} +hydra.foo=1", FINE),
    ("the config alone", "{small} --cfg job", FINE),
    ("an optimizer of torch", "{small} method._target_=torch.optim.NAdam '~method.weight_decay'", FINE),
]  # fmt: skip
TABLE = [*GRAMMAR, *OPTIONS, *KEYS, *VALUES, *SWEEPS, *GOOD]


def fault(done, expected: str, results: Path) -> str | None:
    """What is wrong with how a command line ended."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if expected == FINE:
        return None if (done.returncode, lines) == (0, []) else f"exit {done.returncode}, {lines[-1:]}"
    if done.returncode != 2 or len(lines) != 1:
        return f"exit {done.returncode}, {len(lines)} lines: {lines[-1:]}"
    said = lines[0].removeprefix("error: ")
    if not re.search(expected, said):
        return f"says {said}"
    return "computed a result" if list(results.rglob("result.json")) else None


@pytest.mark.parametrize("part", range(PARTS))
def test_one_line_and_nothing_computed(part, tmp_path):
    todo, running, found = list(enumerate(TABLE))[part::PARTS], [], {}
    while todo or running:
        if todo and len(running) < AT_ONCE:
            number, (name, arguments, expected) = todo.pop(0)
            words, results = shlex.split(arguments.replace("{small}", SMALL)), tmp_path / str(number)
            given = {word.split("=")[0].lstrip("+~") for word in words}
            own = {"results_root": results, "tracker": "none", "hardware": "cpu", "hardware.threads": 1}
            more = [f"{key}={value}" for key, value in own.items() if key not in given]
            running.append((name, expected, results, forks.Process([*words, *more], clean_env(), timeout=100)))
            continue
        name, expected, results, process = running.pop(0)
        with process:
            process.returncode = process.wait()
            if said := fault(process, expected, results):
                found[name] = said
    assert found == {}


def test_the_table_is_large_and_says_each_thing_once():
    assert len(TABLE) >= 150
    for column in (0, 1):
        words = [row[column] for row in TABLE]
        assert len(set(words)) == len(words)


def test_bytes_that_no_shell_hands_over_are_one_line():
    """A null byte or a lone surrogate comes from a program that calls ours."""
    for text in ("method.lr=\0", "method.lr=\udc80"):
        done = forks.run([*SMALL.split(), text], clean_env(), timeout=100)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "a null byte, or bytes that are not UTF-8" in done.stderr
