"""What the rules share: names of files, and the one list of options that every call gets."""

import shlex
from pathlib import Path

COMMAND = config["command"]
OUT = config["out"]
GRM = config["grm"]["prefix"]
NULLS = f"{OUT}.nulls"
PARTS = config["parts"]
FILESET = (".bed", ".bim", ".fam")

GRM_FILES = multiext(GRM, ".grm.bin", ".grm.N.bin", ".grm.id", ".grm.json")


wildcard_constraints:
    part=r"\d+",


def genotype_files():
    """The genotype files; of all chromosomes, where the prefix holds @."""
    prefix = config["bfile"]
    if "@" not in prefix:
        return [prefix + suffix for suffix in FILESET]
    head, tail = prefix.split("@", 1)
    folder, start = Path(head + "x").parent, Path(head + "x").name[:-1]
    found = [str(path) for suffix in FILESET for path in folder.glob(f"{start}*{tail}{suffix}")]
    if not found:
        raise WorkflowError(f"bfile: no file is named {prefix}.bed, with a chromosome for @")
    return sorted(found)


def study_files():
    """All that `assoc` reads, but for the GRM and the null models."""
    tables = {config["pheno"]: None, config["covar"]: None}  # once, where they are one file
    return [*genotype_files(), *filter(None, tables), *config["other_inputs"]]


def option(name, value):
    """`name value`, or nothing; a list is joined by commas."""
    text = ",".join(value) if isinstance(value, list) else value
    return [name, text] if text else []


def grm_arguments():
    """The options of every `grm` call."""
    given = [
        *option("--bfile", config["bfile"]),
        *option("--threads", str(config["threads"]["grm"])),
    ]
    return f"{shlex.join(given)} {config['grm']['options']}".strip()


def assoc_arguments():
    """The options of every `assoc` call: parts that differ in one are refused by `merge`."""
    given = [
        *option("--bfile", config["bfile"]),
        *option("--pheno", config["pheno"]),
        *option("--pheno-name", config["traits"]),
        *option("--covar", config["covar"]),
        *option("--covar-name", config["covariates"]),
        *option("--cat-covar-name", config["categories"]),
        *option("--grm", GRM),
        *option("--plots", config["plots"]),
        "--report" if config["report"] else "--no-report",
        *option("--threads", str(config["threads"]["assoc"])),
    ]
    return f"{shlex.join(given)} {config['options']}".strip()


def parts_of(pattern, kind):
    """One name for each part of a kind of work."""
    return expand(pattern, part=range(1, PARTS[kind] + 1))


def for_a_while(name):
    """A folder that goes when nothing needs it any more, unless parts are to be kept."""
    return directory(name) if config["keep_parts"] else temp(directory(name))


def done_for_a_while(name):
    """An empty file that goes likewise."""
    return touch(name) if config["keep_parts"] else temp(touch(name))


def trait_tables():
    """The tables of each trait. (The index is .tbi or, for long chromosomes, .csi.)"""
    suffixes = ("tsv.gz", "tsv.gz-meta.yaml", "excluded.tsv.gz", "leads.tsv", "null.tsv")
    return [f"{OUT}.{trait}.{suffix}" for trait in config["traits"] for suffix in suffixes]


def trait_plots():
    """The plots of each trait, as many as `plots` asks for."""
    formats = {"all": ("png", "pdf"), "png": ("png",), "none": ()}[config["plots"]]
    return [
        f"{OUT}.{trait}.{plot}.{suffix}"
        for trait in config["traits"]
        for plot in ("manhattan", "qq")
        for suffix in formats
    ]


def report_page():
    """The page with interactive plots, where it is asked for."""
    return [f"{OUT}.report.html"] if config["report"] else []


def key_figures():
    """The run's record, its samples, and what MultiQC shows of it."""
    return [f"{OUT}.run.json", f"{OUT}.samples.tsv", f"{OUT}_mqc.json"]


def study_outputs():
    """What is left when the study is done."""
    return [*key_figures(), *trait_tables(), *trait_plots(), *report_page()]


def resource(rule_name, what):
    """Memory (MB) or time (minutes) of a rule."""
    return config["resources"][rule_name][what]
