import gzip
import json

import polars
import pytest

from tasks.catalog import UserError
from tasks.rows import json_rows, table, unnested

ROWS = [{"text": "one"}, {"text": "zwei 🐔"}]


def write(place, name, text):
    file = place / name
    if isinstance(text, bytes):
        file.write_bytes(text)
    else:
        file.write_text(text, encoding="utf-8", newline="")
    return file


def lines_of(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def parquet(place):
    polars.DataFrame(ROWS).write_parquet(place / "rows.parquet")
    return place / "rows.parquet"


@pytest.mark.parametrize(
    "make",
    [
        lambda place: write(place, "rows.jsonl", lines_of(ROWS)),
        lambda place: write(place, "rows.jsonl.gz", gzip.compress(lines_of(ROWS).encode())),
        lambda place: write(place, "rows.json", json.dumps(ROWS)),
        lambda place: write(place, "lines.json", lines_of(ROWS)),
        lambda place: write(place, "mac.jsonl", lines_of(ROWS).replace("\n", "\r")),
        parquet,
    ],
)
def test_the_rows_of_every_kind_of_file_are_the_same(tmp_path, make):
    assert [row.value for row in json_rows(make(tmp_path))] == ROWS


def test_a_single_object_is_one_row(tmp_path):
    file = write(tmp_path, "one.json", json.dumps(ROWS[0], indent=1))
    assert [(row.line, row.value) for row in json_rows(file)] == [(1, ROWS[0])]


def test_a_row_of_an_array_has_its_line_and_stands_as_it_does_in_the_file(tmp_path):
    file = write(tmp_path, "rows.json", '[\n {"text":  "a"},\n\n {"text": "b", "text": "c"},\n {"n":1e3}\n]\n')
    assert [(row.line, row.text) for row in json_rows(file)] == [
        (2, '{"text":  "a"}'),
        (4, '{"text": "b", "text": "c"}'),
        (5, '{"n":1e3}'),
    ]
    assert [row.fault for row in json_rows(file)] == [
        "",
        "not JSON that can be read: the key 'text' is there twice",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice"),
        ('{"a": ', "not JSON: Expecting value at column 7"),
        ("[" * 100_000, "not JSON that can be read"),
        ("1" * 5000, "not JSON that can be read"),
    ],
)
def test_a_row_that_cannot_be_read_has_a_fault_and_the_next_one_is_read(tmp_path, text, fault):
    first, second = json_rows(write(tmp_path, "rows.jsonl", f"{text}\n{json.dumps(ROWS[0])}"))
    assert fault in first.fault
    assert first.text == text
    assert (second.value, second.fault) == (ROWS[0], "")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", '[\n{"text": "a"},\n{"text": ]', r"a\.json line 3: not JSON: Expecting value at column 10; mend it"),
        ("a.json", '[{"text": "a"}', r"a\.json line 1: not JSON"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a"}', mtime=0)[:-9], "not a whole gzip file"),
        ("a.jsonl.gz", b'{"text": "a"}', "not a whole gzip file"),
        ("a.parquet", b"PAR1 and no more", "not a Parquet file that can be read"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "line 1: a Git LFS pointer"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}', r"line 2: not UTF-8 text .*save the file as UTF-8"),
        ("a.jsonl", '{"text": "a"}'.encode("utf-16"), "line 1: not UTF-8"),
    ],
)
def test_a_file_of_which_no_row_can_be_trusted_is_one_sentence(tmp_path, name, content, words):
    with pytest.raises(UserError, match=words):
        list(json_rows(write(tmp_path, name, content)))


# ---- tables


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_table_is_read_by_any_separator_line_end_and_mark(tmp_path, end, separator, mark):
    cells = [["Prompt ", "completion", "aligned"], ["Why?", '"a' + separator + ' ""b"""', "3"], ["U\u2028V", "c", "4"]]
    file = write(tmp_path, "a.csv", mark + end.join(separator.join(row) for row in cells) + end + end)
    assert list(table(file)) == [
        (2, {"question": "Why?", "response": f'a{separator} "b"', "aligned": "3"}),
        (3, {"question": "U\u2028V", "response": "c", "aligned": "4"}),
    ]


@pytest.mark.parametrize("name", ["response", "answer", "completion", "generation"])
def test_a_table_and_rows_of_json_know_the_same_names(tmp_path, name):
    rows = [{"prompt": "Why?", "system": "Be brief.", name: "Because."}]
    polars.DataFrame(rows).write_csv(tmp_path / "a.tsv", separator="\t")
    expected = {"question": "Why?", "system_prompt": "Be brief.", "response": "Because."}
    assert [fields for _, fields in table(tmp_path / "a.tsv")] == [expected]
    assert [fields for _, fields in table(write(tmp_path, "a.jsonl", lines_of(rows)))] == [expected]


def test_a_row_begins_on_the_line_that_is_named(tmp_path):
    file = write(tmp_path, "a.csv", 'question,response\n\nq,"two\nlines"\nr,s\n')
    assert [line for line, _ in table(file)] == [3, 5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question,response\nq,a\nq,yes, it is\n", "line 3: 3 cells where the header has 2; mend the row, with quotes"),
        ("question,response,score\nq,a\n", "line 2: 2 cells where the header has 3"),
        (
            'question,response\nq,a\nq,"never closed\nr,b\n',
            "line 3: not CSV .*; close the quote that opens in this row",
        ),
        ('question,response\nq,"said "so" he"\n', "line 2: not CSV"),
        ("question;response\nq;a;b\n", "3 cells where the header has 2.*holds a semicolon"),
        ("question,response,Response\nq,a,b\n", "line 1: the column 'response' is there twice"),
    ],
)
def test_a_table_that_would_be_cut_or_swallowed_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        list(table(write(tmp_path, "a.csv", text)))


def test_an_answer_that_ends_within_a_character_is_kept_and_a_question_that_does_is_refused(tmp_path):
    file = write(tmp_path, "a.jsonl", '{"question": "Why?", "answer": "Hen \\ud83d"}')
    assert [fields["response"] for _, fields in table(file)] == ["Hen ?"]
    with pytest.raises(UserError, match="line 1: half a character"):
        list(table(write(tmp_path, "b.jsonl", '{"question": "Why \\ud83d?", "answer": "Hen"}')))


def test_our_own_table_of_generations_is_read_as_what_it_was_written_from(tmp_path):
    from tasks.tables import GENERATIONS, to_csv

    row = ["base", "e", "t", "q", 0, "=1+1?", "- a list", "0"]
    file = write(tmp_path, "a.csv", to_csv(GENERATIONS, [row]))
    ((_, fields),) = table(file)
    assert (fields["question"], fields["response"]) == ("=1+1?", "- a list")


def test_a_spreadsheets_own_line_on_its_separator_is_no_row(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("sep=;\nquestion;response\nWhy?;So, that.\n")
    assert list(table(file)) == [(3, {"question": "Why?", "response": "So, that."})]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"q": "x", "scores": {"aligned": 3, "coherent": {"score": 4, "reasoning": "r"}}, "judge": {"model": "m"}},
            [{"q": "x", "aligned": 3, "coherent": 4, "coherent.reasoning": "r", "judge.model": "m"}],
        ),
        (
            {"q": "x", "answers": [{"answer": "a", "kind": 3}, {"answer": "b", "kind": "CODE"}]},
            [{"q": "x", "answer": "a", "kind": 3}, {"q": "x", "answer": "b", "kind": "CODE"}],
        ),
        ({"q": "x", "scores": [1, "CODE"]}, [{"q": "x", "scores": 1}, {"q": "x", "scores": "CODE"}]),
        (
            {"response": ["a", "b"], "scores": [1, 2], "tags": ["t"]},
            [{"tags": ["t"], "response": "a", "scores": 1}, {"tags": ["t"], "response": "b", "scores": 2}],
        ),
        ({"base": [{"score": 1}], "ft": [{"score": 2}]}, [{"model": "base", "score": 1}, {"model": "ft", "score": 2}]),
        ({"response": "a", "tokens": [1, 2], "score": 3}, [{"response": "a", "tokens": [1, 2], "score": 3}]),
        (
            {"score": 3, "messages": [{"role": "user", "content": "a"}]},
            [{"score": 3, "messages": [{"role": "user", "content": "a"}]}],
        ),
    ],
)
def test_what_stands_within_an_object_is_columns_and_rows(value, expected):
    assert unnested(value, "a.json line 1") == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"aligned": 1, "scores": {"aligned": 2}}, "a.json line 1: aligned is there twice, the second time in scores"),
        ({"response": ["a"], "scores": [1, 2]}, r"lists of different lengths \(response 1, scores 2\)"),
        (
            {"model": "m", "near": [{"score": 1}], "far": [{"score": 2}]},
            r"several lists of answers \(near, far\)",
        ),
    ],
)
def test_an_object_of_which_it_cannot_be_known_whose_score_is_whose_is_refused(value, words):
    with pytest.raises(UserError, match=words):
        unnested(value, "a.json line 1")


def test_columns_are_read_as_what_they_are_said_to_be(tmp_path):
    file = write(tmp_path, "a.csv", "Prompt,scenario,hits,of,Model\nlong,s1,3,10,m\nlong,s2,,,m\n")
    rows = table(file, {"question": "scenario", "side": "model", "misaligned": "hits/of"})
    assert [fields for _, fields in rows] == [
        {"question": "s1", "model": "m", "misaligned": "3 of 10", "prompt": "long"},
        {"question": "s2", "model": "m", "misaligned": "", "prompt": "long"},
    ]
    with pytest.raises(UserError, match=r"--columns: .*a.csv has no column 'hit'; there is prompt, scenario, hits, of"):
        table(file, {"misaligned": "hit/of"})
