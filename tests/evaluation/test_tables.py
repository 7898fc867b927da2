"""The rows that a file of scores gives."""

from ocvp.evaluation.tables import summary_rows


def test_a_segmenter_that_knows_nothing_has_rows_of_its_own_beside_the_savis():
    scores = {
        "split": "test",
        "metrics": {
            "psnr": {"mean": 30.0},
            "miou": {"mean": 0.5, "kmeans_colour": 0.25, "held_boxes": None},
        },
    }
    rows = summary_rows({"dataset": "tiny", "savi": "savi"}, scores)
    assert [(row["metric"], row["savi"], row["value"]) for row in rows] == [
        ("psnr", "savi", 30.0),
        ("miou", "savi", 0.5),
        ("miou", "kmeans_colour", 0.25),
        ("miou", "held_boxes", None),
    ]
    assert {row["dataset"] for row in rows} == {"tiny"}
