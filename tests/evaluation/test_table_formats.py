"""One table as text, Markdown and LaTeX."""

from ocvp.evaluation.table_formats import WIDTH, Table, as_latex, as_markdown, as_text

TABLE = Table(
    "Prediction on a_b, 50 %",
    ["predictor"],
    ["psnr ↑", "slot_mse ↓"],
    [["lstm", "21.0", "-"], ["ocvp_seq-num_layers2", "22.5 ± 0.3*", "0.1"], ["copy", "-", "-"]],
    ("psnr ↑  of frames",),
)


def test_as_text_labels_stand_left_and_numbers_right():
    assert as_text(TABLE).splitlines() == [
        "Prediction on a_b, 50 %",
        "",
        "predictor                 psnr ↑   slot_mse ↓",
        "lstm                        21.0            -",
        "ocvp_seq-num_layers2  22.5 ± 0.3*         0.1",
        "",
        "psnr ↑  of frames",
    ]  # without the row that has no value


def test_as_text_columns_go_on_below():
    columns = [f"metric_of_a_long_name_{number} ↑" for number in range(9)]
    rows = [["lstm", *["0.5000 ± 0.0123"] * 9], ["copy", "0.1", *"-" * 8]]
    text = as_text(Table("Wide", ["predictor"], columns, rows, ("a note " * 30,)))
    assert max(map(len, text.splitlines())) <= WIDTH == 100
    assert [text.count(column) for column in columns] == [1] * 9
    assert text.count("lstm") == 3
    assert text.count("copy") == 1  # where it has a value


def test_as_markdown():
    assert as_markdown(TABLE).splitlines() == [
        "**Prediction on a_b, 50 %**",
        "",
        "| predictor | psnr ↑ | slot_mse ↓ |",
        "| :-- | --: | --: |",
        "| lstm | 21.0 | - |",
        "| ocvp_seq-num_layers2 | **22.5 ± 0.3** | 0.1 |",
        "| copy | - | - |",
        "",
        "- psnr ↑  of frames",
    ]


def test_as_latex():
    table = TABLE._replace(rows=[*TABLE.rows[:2], ["transformer", "-0.5 [-1e-05, 2]", "3"]])
    assert as_latex(table).splitlines() == [
        "% psnr ↑  of frames",
        r"\begin{table}[t]",
        r"\centering",
        r"\caption{Prediction on a\_b, 50 \%}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"predictor & psnr $\uparrow$ & slot\_mse $\downarrow$ \\",
        r"\midrule",
        r"lstm & 21.0 & -- \\",
        r"ocvp\_seq-num\_layers2 & \textbf{22.5 $\pm$ 0.3} & 0.1 \\",
        r"transformer & $-$0.5 [$-$1e-05, 2] & 3 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
