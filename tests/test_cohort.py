"""Labels against the authors' own, exclusions without loss, splits and folds that are stratified and disjoint."""

import numpy as np
import pandas as pd
import pytest

from stslib import cohort
from stslib.cohort import CLASSES
from stslib.support.errors import ParameterError, StsError

PAPER_COUNTS = {"Pvalb": 1065, "Sst": 1931, "Vip/Lamp5": 1797, "Excitatory": 797}  # 5,590 cells


def table(counts: dict[str, int] = PAPER_COUNTS, donors: int = 40) -> pd.DataFrame:
    labels = np.repeat(list(counts), list(counts.values())).astype(object)
    ids = [f"{k:05d}" for k in range(len(labels))]
    return pd.DataFrame({"cell_id": ids, "label": labels, "donor": [f"d{k % donors}" for k in range(len(labels))]})


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("Pvalb-IRES-Cre", "Pvalb"), ("Htr3a-Cre_NO152", "Vip/Lamp5"), ("Htr3a-Cre_NO152|Pvalb-T2A-Dre", "Pvalb"),
        ("Pvalb-T2A-FlpO|Vipr2-IRES2-Cre", "Pvalb"), ("Nos1-CreERT2", "Unsure"), ("Nos1-CreERT2|Sst-IRES-FlpO", "Sst"),
        ("Esr2-IRES2-Cre-neo|PhiC31-neo", "Excitatory"), ("Gad2-IRES-Cre", "Unsure"),
        # Patch-seq: T-type, then dendrites
        (("Sst Tac2 Myh4", "aspiny"), "Sst"), (("Serpinf1 Aqp5 Vip", "aspiny"), "Vip/Lamp5"),
        (("L2/3 IT VISp Rrad", "spiny"), "Excitatory"), ((None, "spiny"), "Excitatory"),
        ((float("nan"), "aspiny"), "Unsure"), (("", "sparsely spiny"), "Unsure"),
    ],
)  # fmt: skip
def test_labels_by_line_or_by_t_type_then_dendrites(line, label):
    arguments = (line,) if isinstance(line, str) else (None, *line)
    assert cohort.label_cell(*arguments) == label


@pytest.mark.parametrize(("key", "value"), [("line_name", "Foo-Cre"), ("t_type", "Astro Aqp4")])
def test_a_line_or_t_type_without_a_rule_is_refused(key, value):
    with pytest.raises(StsError, match=f"(transgenic line|T-type) '{value}' has no class"):
        cohort.label_cell(**{key: value})


@pytest.mark.mirror
def test_the_rules_give_the_authors_label_for_every_cell(mirror):
    folder = mirror / "published"
    clamp = pd.read_csv(folder / "PatchClamp_metadata.csv", sep=";", dtype=str)
    clamp = clamp[clamp["donor__species"] == "Mus musculus"]
    seq = pd.read_csv(folder / "PatchSeq_metadata.csv", dtype=str)
    ours = {r.specimen_id: cohort.label_cell(r.line_name) for r in clamp.itertuples()}
    for cell, t_type, dendrites in seq[["cell_specimen_id", "T-type Label", "dendrite_type"]].itertuples(index=False):
        ours[cell] = cohort.label_cell(t_type=t_type, dendrite_type=dendrites)
    file = folder / "cell_types_GouwensAll_new.txt"
    authors = pd.read_csv(file, sep=" ", names=["label", "cell_id"], dtype=str).set_index("cell_id")["label"]
    assert len(authors) == 6355 and set(authors.index) == set(ours)
    assert {cell: (ours[cell], label) for cell, label in authors.items() if ours[cell] != label} == {}


def test_account_loses_no_cell_and_gives_each_excluded_one_a_reason():
    cells = table({"Pvalb": 5, "Sst": 4, "Unsure": 2, "": 1})
    cells["reason"] = ["", "not_mouse"] + [""] * 10
    done = cohort.account(cells, {"00003": "no_partner_sweep", "00010": "bad_trace", "00001": "bad_trace"})
    assert list(done["cell_id"]) == list(cells["cell_id"])
    assert done["reason"].tolist() == ["", "not_mouse", "", "no_partner_sweep", *[""] * 5, *["unsure_label"] * 3]
    assert ((done["status"] == "kept") == (done["reason"] == "")).all()
    counts = cohort.count_table(done)
    assert counts["total"][["kept", "all cells"]].tolist() == [7, len(cells)]
    numbers = counts.drop(columns="meaning")
    assert (numbers.drop("all cells").sum() == numbers.loc["all cells"]).all()
    assert (counts[[*CLASSES, "other"]].sum(axis=1) == counts["total"]).all()
    assert len(cohort.kept(done)) == 7
    assert "status" not in cells.columns  # the caller's table is not changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="label"), "no column 'label'"),
        (lambda t: t.iloc[:0], "table is empty"),
        (lambda t: t.assign(cell_id=["a", *t["cell_id"][1:-1], "a"]), "cell id a occurs twice"),
        (lambda t: t.assign(cell_id=range(len(t))), "cell id 0 is not text"),
        (lambda t: t.assign(label=["Martinotti", *t["label"][1:]]), "class 'Martinotti' is unknown"),
        (lambda t: t.assign(split="validation"), "split 'validation' is unknown"),
        (lambda t: t.assign(reason="bored"), "exclusion reason 'bored' is unknown"),
    ],
)
def test_a_faulty_cell_table_is_one_line(change, words):
    with pytest.raises(StsError, match=words) as caught:
        cohort.account(change(table({"Pvalb": 3, "Sst": 3})))
    assert "\n" not in str(caught.value)
    with pytest.raises(StsError, match="reason is given for cell x"):
        cohort.account(table({"Pvalb": 3}), {"x": "bad_trace"})


def test_holdout_has_the_papers_counts_and_is_repeatable():
    cells = table()
    done, again, other = (cohort.holdout_split(cells, 0.2, seed) for seed in (1, 1, 2))
    test = done[done["split"] == "test"]["label"].value_counts().to_dict()
    assert test == {"Sst": 386, "Vip/Lamp5": 359, "Pvalb": 213, "Excitatory": 160}  # those of the authors' split
    assert (done["split"] == "train").sum() == 4472
    assert done.equals(again) and not done.equals(other)


def test_holdout_of_a_tiny_cohort_has_every_class_on_both_sides_and_leaves_excluded_cells_out():
    cells = cohort.account(table({"Pvalb": 2, "Sst": 3, "Vip/Lamp5": 3, "Excitatory": 3}), {"00004": "bad_trace"})
    done = cohort.holdout_split(cells, 0.1, seed=0)
    counts = pd.crosstab(done["label"], done["split"])
    assert (counts[["train", "test"]] >= 1).all(axis=None) and done.loc[4, "split"] == ""


def test_a_split_that_the_table_brings_along_is_kept_and_described():
    split = ["train", "test", "train", "train", "test"]
    cells = cohort.account(table({"Pvalb": 3, "Sst": 2}, donors=2)).assign(split=split)
    assert cohort.holdout_split(cells)["split"].tolist() == split
    text = cohort.describe(cells.assign(rheobase_agrees=[True, False, None, True, True]))
    assert text.startswith("- 5 of 5 cells are included (100.0 %), 3 to train and 2 to test.")
    assert "The largest class (Pvalb) has 1.5 times the cells of the smallest (Sst)" in text
    assert "is right 60 % of the time, and has a balanced accuracy of 50 %" in text
    assert "- 100 % of the test cells share a donor" in text and "- In 1 of 4 cells the smallest current" in text


def test_impossible_holdouts_are_refused():
    with pytest.raises(StsError, match="the split overlaps: 1 cells are in train and in test, first 2"):
        cohort.check_split(["1", "2"], ["2", "3"])
    with pytest.raises(StsError, match="cell id 1 occurs twice in the train split"):
        cohort.check_split(["1", "1"], ["3"])
    with pytest.raises(StsError, match=r"all included cells are Pvalb.*1 excluded: the trace is damaged.*sts predict"):
        cohort.holdout_split(cohort.account(table({"Pvalb": 3, "Sst": 1}), {"00003": "bad_trace"}))
    with pytest.raises(StsError, match="class Sst has a single cell"):
        cohort.holdout_split(table({"Pvalb": 5, "Sst": 1}))
    with pytest.raises(ParameterError, match=r"test_fraction is 1\.0"):
        cohort.holdout_split(table({"Pvalb": 5}), 1.0)


def test_folds_hold_each_cell_out_once_and_keep_the_class_shares_and_donors_together():
    labels = table()["label"].to_numpy()
    parts = cohort.folds(labels, 3, seed=0)
    assert sorted(np.concatenate([out for _, out in parts])) == list(range(len(labels)))
    for (fit_idx, out_idx), (_, again) in zip(parts, cohort.folds(labels, 3, seed=0), strict=True):
        assert sorted([*fit_idx, *out_idx]) == list(range(len(labels))) and (out_idx == again).all()
        for label, n in PAPER_COUNTS.items():
            assert abs((labels[out_idx] == label).sum() - n / 3) < 1
    cells = table({"Pvalb": 60, "Sst": 90, "Vip/Lamp5": 80, "Excitatory": 40})
    for fit_idx, out_idx in cohort.folds(cells["label"], 3, seed=0, groups=cells["donor"]):
        assert not set(cells["donor"].iloc[fit_idx]) & set(cells["donor"].iloc[out_idx])
        assert set(cells["label"].iloc[out_idx]) == set(CLASSES)


@pytest.mark.parametrize(
    ("counts", "options", "words"),
    [
        ({"Pvalb": 10, "Sst": 2}, {}, "class Sst has 2 cells, fewer than 3 folds"),
        ({"Pvalb": 10}, {"n_folds": 1}, "n_folds is 1"),
        ({"Pvalb": 10, "Foo": 9}, {}, "class 'Foo' is unknown"),
        ({"Pvalb": 10}, {"groups": ["a"] * 9}, "9 groups for 10 cells"),
        ({"Pvalb": 10}, {"groups": ["a"] * 10}, "1 groups for 3 folds"),
        ({"Pvalb": 9, "Sst": 3}, {"groups": ["a"] * 3 + ["b"] * 3 + ["c"] * 6}, "class Sst is absent from the"),
    ],
)
def test_impossible_folds_are_one_line(counts, options, words):
    labels = np.repeat(list(counts), list(counts.values()))
    with pytest.raises(StsError, match=words) as caught:
        cohort.folds(labels, **options)
    assert "\n" not in str(caught.value)
