"""Other tools' tables made of ours: what they hold, whose effect, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from export_rules import RULES, open_vcf, read_target

from lmmgwas.errors import FormatError, LmmgwasError, MismatchError
from lmmgwas.io import blocks
from lmmgwas.io.export import ExportFacts, export_table
from lmmgwas.io.export_formats import FORMATS, GWAS_VCF
from lmmgwas.io.export_rows import chromosome_names, number_text
from lmmgwas.io.export_values import SMALLEST_P, Chromosomes
from lmmgwas.io.gwas_vcf import VcfStudy, export_vcf, survey
from lmmgwas.io.parquet import ROW_GROUP, export_parquet
from lmmgwas.io.read_sumstats import read_sumstats
from lmmgwas.io.sumstats import COLUMNS
from lmmgwas.model.chromosomes import Karyotype

# An effect that is known: each copy of the first allele adds what is said.
KNOWN = {"rs1": ("A", 0.5), "rs2": ("C", -0.25), "2:500:T:TAAG": ("T", 3.5), "rs6": ("G", 1e-05)}
ROWS = [
    "1 1000 A G 0.5 0.1 0.25 5.7e-07 rs1 #NA 1000 6.2441251 rs1",
    "1 2000 C T -0.25 0.1 0.75 0.0124 rs2 EA 1000 1.9065783 rs2",
    "2 500 T TAAG 3.5 0.08 0.4 1e-412 #NA OA 998 412 2:500:T:TAAG",
    "22 0 A G 0.1 0.2 0.1 0.617 rs4 #NA 1000 0.20971484 rs4",
    "23 77 D I NA NA NA NA #NA #NA NA NA snp;5",
    "24 78 G C 1e-05 0.2 0.5 0.99996 rs6 #NA 500 1.7372e-05 rs6",
]
TEXT = [name for name in FORMATS if name not in ("parquet", "gwas-vcf")]


def text(rows: list[str] = ROWS, header: tuple[str, ...] = COLUMNS) -> str:
    return "".join("\t".join(row) + "\n" for row in (header, *(r.split(" ") for r in rows)))


def write(folder: Path, content: str) -> Path:
    path = folder / "study.height.tsv"
    path.write_text(content)
    return path


def convert(
    folder: Path, name: str, content: str = text(), karyotype: Karyotype | None = None
) -> tuple[Path, ExportFacts]:
    """The converted file, and what was said of it."""
    table, out = write(folder, content), folder / f"out.{name}"
    karyotype = karyotype or Karyotype()
    if name == "parquet":
        return out, export_parquet(table, out)
    if name == "gwas-vcf":
        index = Path(f"{out}.tbi")
        return out, export_vcf(table, out, index, survey(table), VcfStudy("height"), karyotype)
    return out, export_table(table, FORMATS[name], out, karyotype, packed=False)


# --- Whose effect it is, and that values keep their digits -------------------------------------


def test_every_format_has_a_rule_in_one_sentence_and_a_source() -> None:
    assert set(RULES) == set(FORMATS)
    for target in FORMATS.values():
        assert target.effect_rule.endswith(".")
        assert "\n" not in target.effect_rule
        assert RULES[target.name].effect_allele in target.effect_rule
        assert target.source.startswith("https://")
        assert target.small_p


@pytest.mark.parametrize("name", FORMATS)
def test_a_known_effect_keeps_its_direction(tmp_path: Path, name: str) -> None:
    """By the documented rule of the format: more copies of that allele, more of the trait."""
    rule = RULES[name]
    table = read_target(convert(tmp_path, name)[0], name)
    by_alleles = {("A", "G"): "rs1", ("C", "T"): "rs2", ("T", "TAAG"): "2:500:T:TAAG"}
    found = 0
    for row in table.to_dict("records"):
        pair = (row[rule.effect_allele], row[rule.other_allele])
        marker = by_alleles.get(pair) or by_alleles.get(pair[::-1])
        if marker is None or (rule.marker and row[rule.marker] != marker):
            continue
        allele, added = KNOWN[marker]
        sign = 1 if row[rule.effect_allele] == allele else -1
        assert math.copysign(1.0, float(row[rule.effect])) == sign * math.copysign(1.0, added)
        if name != "ldsc":
            assert float(row[rule.effect]) == sign * added
        if rule.frequency:
            copies = {"rs1": 0.25, "rs2": 0.75, "2:500:T:TAAG": 0.4}[marker]
            expected = copies if sign > 0 else 1.0 - copies
            assert float(row[rule.frequency]) == pytest.approx(expected, rel=1e-8)
        found += 1
    assert found == 3


@pytest.mark.parametrize("name", ["pheweb", "gwas-vcf"])
def test_an_effect_allele_that_is_the_reference_becomes_ref(tmp_path: Path, name: str) -> None:
    rule = RULES[name]
    table = read_target(convert(tmp_path, name)[0], name)
    row = table[table[rule.position] == "2000"].iloc[0]
    assert (row[rule.other_allele], row[rule.effect_allele]) == ("C", "T")
    assert (row[rule.effect], row[rule.frequency]) == ("0.25", "0.25")


def test_plink2_says_where_the_reference_is_not_known(tmp_path: Path) -> None:
    table = read_target(convert(tmp_path, "plink2")[0], "plink2").set_index("ID")
    columns = ["REF", "ALT", "PROVISIONAL_REF?", "A1", "OMITTED"]
    assert table.loc["rs1", columns].tolist() == ["G", "A", "Y", "A", "G"]
    assert table.loc["rs2", columns].tolist() == ["C", "T", "N", "C", "T"]
    assert table.loc["2:500:T:TAAG", columns].tolist() == ["TAAG", "T", "N", "T", "TAAG"]


@pytest.mark.parametrize("name", FORMATS)
def test_values_equal_ours_to_the_digit(tmp_path: Path, name: str) -> None:
    """Rows of `ROWS` without a turn: the very text, or the very number in Parquet."""
    rule = RULES[name]
    table = read_target(convert(tmp_path, name)[0], name)
    ours = pd.DataFrame([row.split(" ") for row in ROWS], columns=list(COLUMNS))
    row = table[(table[rule.effect_allele] == "A") & (table[rule.other_allele] == "G")].iloc[0]
    first = ours.iloc[0]
    pairs = {
        rule.se: first["standard_error"],
        rule.frequency: first["effect_allele_frequency"],
        rule.n: first["n"],
        rule.p: first["p_value"],
        rule.log10_p: first["neg_log_10_p_value"],
        rule.chromosome: first["chromosome"],
        rule.position: first["base_pair_location"],
        rule.marker: first["marker_id"],
    }
    assert sum(bool(column) for column in pairs) >= 2
    for column, expected in pairs.items():
        if not column:
            continue
        if name == "parquet" and not isinstance(row[column], str):
            assert row[column] == float(expected)
        else:
            assert row[column] == expected, column


def test_computed_columns(tmp_path: Path) -> None:
    regenie = read_target(convert(tmp_path, "regenie")[0], "regenie").set_index("ID")
    assert float(regenie.loc["rs2", "CHISQ"]) == 6.25
    assert float(regenie.loc["2:500:T:TAAG", "CHISQ"]) == pytest.approx((3.5 / 0.08) ** 2)
    assert regenie.loc["snp;5", "CHISQ"] == "NA"
    plink2 = read_target(convert(tmp_path, "plink2")[0], "plink2").set_index("ID")
    assert float(plink2.loc["rs2", "T_STAT"]) == -2.5
    ldsc = read_target(convert(tmp_path, "ldsc")[0], "ldsc").set_index("SNP")
    assert float(ldsc.loc["2:500:T:TAAG", "Z"]) == 43.75


@pytest.mark.parametrize("seed", range(3))
def test_computed_numbers_have_eight_digits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=5000) * 10.0 ** rng.integers(-12, 12, 5000)
    values[:4] = [0.0, np.nan, np.inf, -np.inf]
    texts = number_text(values).to_pylist()
    assert texts[1:4] == [None, None, None]
    for value, found in zip(values[4:], texts[4:], strict=True):
        assert float(found) == float(f"{value:.8g}")


# --- p-values that no double holds -------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_p_of_1e_412(tmp_path: Path, name: str) -> None:
    """Exact where there is a logarithm or text will do, else the smallest normal double."""
    rule = RULES[name]
    out, facts = convert(tmp_path, name)
    table = read_target(out, name)
    row = table[table[rule.other_allele] == "TAAG"].iloc[0]
    if rule.log10_p:
        assert float(row[rule.log10_p]) == 412.0
    in_full = name in ("plink2", "cojo", "metal")
    if rule.p:
        assert row[rule.p] == ("1e-412" if in_full else SMALLEST_P)
    assert facts.n_small == int(bool(rule.p) and not in_full)
    assert not rule.p or in_full or 0.0 < float(row[rule.p]) < 2.3e-308
    target = FORMATS[name]
    assert (SMALLEST_P in target.small_p) == bool(facts.n_small)


def test_the_smallest_double_itself_is_not_changed(tmp_path: Path) -> None:
    rows = [
        f"1 {k + 1} A G 1 0.1 0.5 {p} #NA #NA 9 {x} m{k}"
        for k, (p, x) in enumerate([("2.3e-308", "307.63827"), ("2.2e-308", "307.65758")])
    ]
    out, facts = convert(tmp_path, "gemma", text(rows))
    assert read_target(out, "gemma")["p_wald"].tolist() == ["2.3e-308", SMALLEST_P]
    assert facts.n_small == 1


# --- Chromosomes, missing values, rows that a tool cannot read ---------------------------------


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (Chromosomes.OURS, ["1", "22", "23", "24", "25", "0"]),
        (Chromosomes.NUMBERS, ["1", "22", "23", "24", "26", "0"]),
        (Chromosomes.LETTERS, ["1", "22", "X", "Y", "MT", "0"]),
    ],
)
def test_chromosomes_of_humans(style: Chromosomes, expected: list[str]) -> None:
    labels = ("1", "22", "23", "24", "25", "0")
    assert chromosome_names(labels, style, Karyotype()) == expected


def test_chromosomes_of_other_species() -> None:
    mouse = Karyotype.of("mouse", None)
    labels = ("1", "19", "X", "MT", "scaffold_7")
    numbers = chromosome_names(labels, Chromosomes.NUMBERS, mouse)
    assert numbers == ["1", "19", "20", "23", "scaffold_7"]
    cow = Karyotype.of("cow", None)
    assert chromosome_names(("23", "29"), Chromosomes.LETTERS, cow) == ["23", "29"]
    assert chromosome_names(("X",), Chromosomes.LETTERS, Karyotype()) == ["X"]
    assert chromosome_names(("X",), Chromosomes.NUMBERS, Karyotype.of("human", None)) == ["23"]
    for label, code in (("29", "E210"), ("X", "E444")):
        with pytest.raises(MismatchError) as caught:
            chromosome_names(("1", label), Chromosomes.NUMBERS, Karyotype())
        assert caught.value.problems[0].code == code
        assert "--species" in str(caught.value)


LEFT_OUT = {
    "ldsc": {"n": 1},
    "fuma": {"a position": 1, "a p-value": 1},
    "pheweb": {"a position": 1, "an effect-allele frequency": 1},
    "cojo": {"an effect-allele frequency": 1},
    "prscs": {"an effect": 1},
    "metal": {"an effect": 1},
    "gwas-vcf": {"a position": 1, "an effect": 1},
}


@pytest.mark.parametrize("name", FORMATS)
def test_missing_values(tmp_path: Path, name: str) -> None:
    """Written as the format has them where it can; the row is left out and counted elsewhere."""
    out, facts = convert(tmp_path, name)
    table = read_target(out, name)
    expected = LEFT_OUT.get(name, {})
    assert dict(facts.left_out) == expected
    assert facts.n_rows == len(table) == len(ROWS) - sum(expected.values())
    rule = RULES[name]
    if name in LEFT_OUT:
        assert "D" not in table[rule.effect_allele].tolist()
        return
    row = table[table[rule.effect_allele] == "D"].iloc[0]
    for column in filter(None, (rule.effect, rule.se, rule.frequency, rule.n, rule.p)):
        assert pd.isna(row[column]) if name == "parquet" else row[column] == "NA"


def test_alleles_that_are_no_bases_are_left_out_of_a_vcf(tmp_path: Path) -> None:
    rows = [
        f"1 {k + 1} {a} {b} 0.1 0.2 0.3 0.6 #NA #NA 9 0.2218 m{k}"
        for k, (a, b) in enumerate([("A", "G"), ("<INS>", "A"), ("1", "2"), ("T", "T"), ("a", "N")])
    ]
    out, facts = convert(tmp_path, "gwas-vcf", text(rows))
    assert dict(facts.left_out) == {"alleles of A, C, G, T and N": 3}
    assert read_target(out, "gwas-vcf")["ID"].tolist() == ["m0", "m4"]


def test_standard_errors_of_zero(tmp_path: Path) -> None:
    rows = ["1 5 A G 0.1 0 0.3 0.6 #NA #NA 9 0.2218 m", ROWS[0]]
    for name in ("ldsc", "metal", "cojo", "prscs"):
        out, facts = convert(tmp_path, name, text(rows))
        assert facts.left_out.total() == 1, name
        assert len(read_target(out, name)) == 1
    assert read_target(convert(tmp_path, "plink2", text(rows))[0], "plink2")["T_STAT"][0] == "NA"


# --- The form of the files ---------------------------------------------------------------------


@pytest.mark.parametrize("block", [150, 1 << 23])
@pytest.mark.parametrize("name", TEXT)
def test_block_size_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, block: int
) -> None:
    whole = convert(tmp_path, name)[0].read_bytes()
    monkeypatch.setattr(blocks, "_BLOCK", block)
    out, facts = convert(tmp_path, name)
    assert out.read_bytes() == whole
    assert whole.count(b"\n") == facts.n_rows + 1


def test_packed_files_unpack_to_the_plain_ones(tmp_path: Path) -> None:
    import gzip

    plain = convert(tmp_path, "ldsc")[0].read_bytes()
    out = tmp_path / "packed.gz"
    export_table(tmp_path / "study.height.tsv", FORMATS["ldsc"], out, Karyotype(), packed=True)
    assert gzip.decompress(out.read_bytes()) == plain


def test_parquet_has_types_and_null(tmp_path: Path) -> None:
    out, _ = convert(tmp_path, "parquet")
    schema = pq.read_schema(out)
    assert schema.names == list(COLUMNS)
    kinds = {name: str(schema.field(name).type) for name in schema.names}
    assert kinds["base_pair_location"] == kinds["n"] == "int64"
    assert kinds["beta"] == kinds["p_value"] == kinds["neg_log_10_p_value"] == "double"
    assert kinds["chromosome"] == kinds["marker_id"] == "string"
    table = pq.read_table(out).to_pylist()
    assert table[4]["beta"] is None
    assert table[4]["rsid"] is None
    assert table[2]["p_value"] == float(SMALLEST_P) > 0.0
    assert table[2]["neg_log_10_p_value"] == 412.0


def test_parquet_bytes_do_not_depend_on_how_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"1 {k} A G 0.5 0.1 0.25 0.5 #NA #NA 9 0.30103 m{k}" for k in range(3000)]
    whole = convert(tmp_path, "parquet", text(rows))[0].read_bytes()
    monkeypatch.setattr(blocks, "_BLOCK", 5000)
    monkeypatch.setattr("lmmgwas.io.parquet.ROW_GROUP", ROW_GROUP)
    assert convert(tmp_path, "parquet", text(rows))[0].read_bytes() == whole
    monkeypatch.setattr("lmmgwas.io.parquet.ROW_GROUP", 1000)
    grouped = pq.ParquetFile(convert(tmp_path, "parquet", text(rows))[0])
    assert [grouped.metadata.row_group(k).num_rows for k in range(3)] == [1000] * 3
    assert grouped.read()["marker_id"].to_pylist() == [f"m{k}" for k in range(3000)]


def test_parquet_of_a_table_without_rows(tmp_path: Path) -> None:
    table, out = write(tmp_path, text([])), tmp_path / "empty.parquet"
    assert export_parquet(table, out, may_be_empty=True).n_rows == 0
    assert pq.read_schema(out).names == list(COLUMNS)
    with pytest.raises(FormatError, match="E428"):
        export_parquet(table, out)


# --- GWAS-VCF as htslib reads it ---------------------------------------------------------------


def test_gwas_vcf_is_what_the_specification_says(tmp_path: Path) -> None:
    out, _ = convert(tmp_path, "gwas-vcf")
    with open_vcf(out) as vcf:
        assert list(vcf.header.contigs) == ["1", "2", "22", "X", "Y"]
        assert list(vcf.header.samples) == ["height"]
        formats = {key: (f.number, f.type) for key, f in vcf.header.formats.items()}
        for key in ("ES", "SE", "LP", "AF", "NS", "SS"):
            assert formats[key] == ("A", "Float")
        assert formats["ID"] == (1, "String")
        records = list(vcf)
        assert "##gwasformat=GWAS-VCFv1.2" in str(vcf.header)
        assert "no reference genome was asked" in str(vcf.header)
    assert [(r.chrom, r.pos, r.ref, r.alts) for r in records] == [
        ("1", 1000, "G", ("A",)),
        ("1", 2000, "C", ("T",)),
        ("2", 500, "TAAG", ("T",)),
        ("Y", 78, "C", ("G",)),
    ]
    sample = records[2].samples["height"]
    assert sample["LP"] == (412.0,)
    assert sample["ES"] == (3.5,)
    assert sample["ID"] == "2_500_T_TAAG"
    assert dict(records[0].info) == {"RSID": "rs1"}
    assert dict(records[2].info) == {}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("suffix", [".tbi", ".csi"])
def test_regions_of_a_vcf_with_long_deletions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, suffix: str
) -> None:
    """htslib finds through our index every record that overlaps, as a search of all rows does."""
    monkeypatch.setattr(blocks, "_BLOCK", 40_000)
    rng = np.random.default_rng(seed)
    m, last = 400, 200_000
    rows, spans = [], []
    for chrom in ("1", "2"):
        for k, pos in enumerate(np.sort(rng.integers(1, last, m)).tolist()):
            ref = "A" * (1 if rng.random() < 0.9 else int(rng.integers(2, 60_000)))
            rows.append(f"{chrom} {pos} G {ref} 0.1 0.2 0.3 0.6 #NA #NA 9 0.2218 m{chrom}.{k}")
            spans.append((chrom, pos, pos + len(ref) - 1, f"m{chrom}.{k}"))
    table, out = write(tmp_path, text(rows)), tmp_path / "long.vcf.gz"
    index = Path(f"{out}{suffix}")
    export_vcf(table, out, index, survey(table), VcfStudy("x"), Karyotype())
    with open_vcf(out) as vcf:
        for _ in range(150):
            chrom, start = ("1", "2")[rng.integers(2)], int(rng.integers(0, last))
            stop = start + int(10 ** rng.uniform(0, 4))
            found = [record.id for record in vcf.fetch(chrom, start, stop)]
            expected = [i for c, a, b, i in spans if c == chrom and a <= stop and b > start]
            assert found == expected


def test_a_table_that_is_not_in_order_gets_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for order, block in (([1, 0, 2], 1 << 23), ([0, 1, 2, 3, 0], 1 << 23), ([0, 2, 1], 60)):
        monkeypatch.setattr(blocks, "_BLOCK", block)
        table = write(tmp_path, text([ROWS[k] for k in order]))
        with pytest.raises(FormatError, match="in order") as caught:
            survey(table)
        problem = caught.value.problems[0]
        assert problem.code == "E443"
        line = next(k for k in range(1, len(order)) if order[k] < order[k - 1]) + 2
        assert problem.where == f"{table}:{line}:2"


def test_two_names_of_one_chromosome(tmp_path: Path) -> None:
    rows = [ROWS[0], ROWS[4].replace("D I", "A G"), ROWS[4].replace("23", "X")]
    with pytest.raises(FormatError, match="23 and X are both X"):
        convert(tmp_path, "gwas-vcf", text(rows))


# --- What readers recognise --------------------------------------------------------------------

# munge_sumstats.py: names are compared in capitals, - and . as _.
MUNGE = {
    **dict.fromkeys(["SNP", "MARKERNAME", "SNPID", "RS", "RSID", "RS_NUMBER"], "SNP"),
    **dict.fromkeys(["P", "PVALUE", "P_VALUE", "PVAL", "P_VAL", "GC_PVALUE"], "P"),
    **dict.fromkeys(["A1", "ALLELE1", "ALLELE_1", "EFFECT_ALLELE", "EA", "INC_ALLELE"], "A1"),
    **dict.fromkeys(["A2", "ALLELE2", "ALLELE_2", "OTHER_ALLELE", "NON_EFFECT_ALLELE"], "A2"),
    **dict.fromkeys(["N", "WEIGHT"], "N"),
    **dict.fromkeys(["Z", "ZSCORE", "Z_SCORE", "GC_ZSCORE"], "signed"),
    **dict.fromkeys(["BETA", "B", "EFFECT", "EFFECTS", "OR", "LOG_ODDS"], "signed"),
    **dict.fromkeys(["FRQ", "EAF", "MAF", "FRQ_U", "F_U"], "FRQ"),
    "INFO": "INFO",
}


@pytest.mark.parametrize("header", [[c.name for c in FORMATS["ldsc"].columns], list(COLUMNS)])
def test_ldsc_recognises_the_header(header: list[str]) -> None:
    """Every column that munge_sumstats.py needs, each once, and one signed statistic only."""
    names = [name.upper().replace("-", "_").replace(".", "_") for name in header]
    found = [MUNGE[name] for name in names if name in MUNGE]
    assert sorted(found)[:5] == ["A1", "A2", *sorted(found)[2:5]]
    for wanted in ("SNP", "P", "A1", "A2", "N", "signed"):
        assert found.count(wanted) == 1, wanted


def test_ldsc_reads_what_is_written(tmp_path: Path) -> None:
    """P in (0, 1], and Z of the sign of A1's effect: nothing for munge_sumstats.py to drop."""
    table = read_target(convert(tmp_path, "ldsc")[0], "ldsc")
    p = table["P"].astype(float)
    assert ((p > 0) & (p <= 1)).all()
    assert (table["N"].astype(float) > 0).all()
    # .sumstats, which ldsc.py itself reads: SNP, N, Z, A1, A2.
    assert {"SNP", "N", "Z", "A1", "A2"} <= set(table.columns)


# gwaslab, fmt="auto" (formatbook, auto.json).
GWASLAB = {
    "rsid": "rsID",
    "chromosome": "CHR",
    "base_pair_location": "POS",
    "effect_allele": "EA",
    "other_allele": "NEA",
    "ref_allele": "REF",
    "effect_allele_frequency": "EAF",
    "beta": "BETA",
    "standard_error": "SE",
    "p_value": "P",
    "neg_log_10_p_value": "MLOG10P",
    "n": "N",
    "#CHROM": "CHR",
    "CHROM": "CHR",
    "GENPOS": "POS",
    "POS": "POS",
    "ALLELE1": "EA",
    "A1": "EA",
    "ALLELE0": "NEA",
    "A1_FREQ": "EAF",
    "OBS_CT": "N",
    "BETA": "BETA",
    "SE": "SE",
    "P": "P",
    "LOG10P": "MLOG10P",
    "N": "N",
}
NEEDED = {"CHR", "POS", "EA", "NEA", "BETA", "SE", "N"}


def test_gwaslab_recognises_our_table_and_regenies() -> None:
    for header in (list(COLUMNS), [c.name for c in FORMATS["regenie"].columns]):
        found = [GWASLAB[name] for name in header if name in GWASLAB]
        assert set(found) >= NEEDED
        assert len(found) == len(set(found)), "a meaning twice"
        assert {"P", "MLOG10P"} & set(found)


def test_metal_finds_its_columns_without_a_label_command() -> None:
    """The names that METAL looks for unless told otherwise (its documentation, and Main.cpp)."""
    header = [column.name for column in FORMATS["metal"].columns]
    defaults = ["MARKER", "ALLELE1", "ALLELE2", "EFFECT", "STDERR", "PVALUE", "N", "FREQ"]
    tracked = ["CHROMOSOME", "POSITION"]
    assert set(defaults + tracked) == set(header)


def test_fuma_recognises_each_column_once() -> None:
    names = {
        "chromosome": ("chr", "chromosome", "chrom"),
        "position": ("bp", "pos", "position"),
        "effect": ("a1", "effect_allele", "allele1", "alleleb"),
        "other": ("a2", "non_effect_allele", "allele2", "allelea"),
        "p": ("p", "pvalue", "p-value", "p_value", "pval"),
        "beta": ("beta", "be"),
        "se": ("se",),
    }
    header = [column.name.lower() for column in FORMATS["fuma"].columns]
    for meaning, accepted in names.items():
        assert sum(name in accepted for name in header) == 1, meaning
    assert not {"snp", "snpid", "markername", "rsid"} & set(header)


def test_pheweb_recognises_each_field() -> None:
    header = [column.name for column in FORMATS["pheweb"].columns]
    assert header[:5] == ["chrom", "pos", "ref", "alt", "pval"]  # required
    assert set(header[5:]) == {"beta", "sebeta", "af"}


@pytest.mark.parametrize("name", ["regenie", "plink2", "gcta", "gemma", "saige"])
def test_plot_reads_what_was_converted(tmp_path: Path, name: str) -> None:
    """Round trip: the p-values, places and IDs of the rows that have a p."""
    out, _ = convert(tmp_path, name)
    table = read_sumstats(out)
    clamped = name in ("gcta", "gemma", "saige")
    expected = [6.2441251, 1.9065783, 307.65265556 if clamped else 412.0, 0.20971484, 1.7372e-05]
    np.testing.assert_allclose(table.neg_log10_p, expected, rtol=1e-4)
    assert table.pos.tolist() == [1000, 2000, 500, 0, 78]
    assert table.n_skipped == 1


# --- Refused -----------------------------------------------------------------------------------


def cell(row: int, name: str, value: str) -> str:
    rows = [line.split(" ") for line in ROWS]
    rows[row][COLUMNS.index(name)] = value
    return text([" ".join(line) for line in rows])


HOSTILE = {
    "a column less": (text().replace("\tn\t", "\tN\t"), "E420", ":1:13", "'n'"),
    "a column twice": (text().replace("marker_id", "n"), "E421", ":1:13", "twice"),
    "a peer's table": ("chr\trs\tps\tp_wald\n1\ta\t5\t0.1\n", "E420", ":1:4", "as it was written"),
    "a field less": (text().replace("\trs4\n", "\n"), "E422", ":5:12", "12 fields"),
    "text in beta": (cell(1, "beta", "0,5"), "E441", ":3:5", "'0,5'"),
    "infinite beta": (cell(1, "beta", "1e999"), "E441", ":3:5", "finite"),
    "negative se": (cell(0, "standard_error", "-1"), "E441", ":2:6", "from 0"),
    "frequency above 1": (cell(0, "effect_allele_frequency", "1.01"), "E441", ":2:7", "0 to 1"),
    "p above 1": (cell(3, "p_value", "1.1"), "E423", ":5:8", "outside 0 to 1"),
    "p of 0": (cell(3, "p_value", "0.0"), "E424", ":5:8", "is 0"),
    "text in n": (cell(3, "n", "1e3"), "E427", ":5:11", "'1e3'"),
    "no chromosome": (cell(0, "chromosome", ""), "E425", ":2:1", "write 0"),
    "a position with a point": (cell(0, "base_pair_location", "1e3"), "E426", ":2:2", "'1e3'"),
    "an empty allele": (cell(0, "effect_allele", ""), "E442", ":2:3", "effect_allele '' is empty"),
    "an odd reference": (cell(0, "ref_allele", "A"), "E442", ":2:10", "EA, OA and #NA"),
    "only a header": (text([]), "E428", ":2:1", "no row"),
    "nothing": ("", "E428", ":1:1", "no row"),
    "a control character": (text().replace("rs4", "r\x1b4"), "E206", ":5:9", "0x1b"),
}


@pytest.mark.parametrize("target", ["ldsc", "parquet", "gwas-vcf"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_refuses_with_the_place(tmp_path: Path, target: str, kind: str) -> None:
    content, code, place, said = HOSTILE[kind]
    with pytest.raises(LmmgwasError) as caught:
        convert(tmp_path, target, content)
    problem = caught.value.problems[0]
    assert (problem.code, problem.where) == (code, f"{tmp_path / 'study.height.tsv'}{place}")
    assert said in problem.message


def test_a_blank_in_an_id_is_refused(tmp_path: Path) -> None:
    """It would end the column in a table that is separated by blanks."""
    content = text().replace("rs4\n", "rs 4\n")
    with pytest.raises(FormatError, match="E442") as caught:
        convert(tmp_path, "cojo", content)
    assert "'rs 4'" in caught.value.problems[0].message


def test_a_vcf_field_holds_no_separator(tmp_path: Path) -> None:
    rows = ["1 5 A G 0.1 0.2 0.3 0.6 #NA #NA 9 0.2218 1:5,A=G;x%y"]
    out, _ = convert(tmp_path, "gwas-vcf", text(rows))
    with open_vcf(out) as vcf:
        (record,) = list(vcf)
    assert record.samples[0]["ID"] == "1_5_A_G_x_y"
    assert GWAS_VCF.needs_bases
