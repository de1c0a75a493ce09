import math

import pytest

from tasks.strict_yaml import Misread, dump, load

WORDS = ["010", "007", "1_000", "1e5", "1e-4", ".5", "1.", ".inf", "nan", "0o17", "0x1f", "8", "1:30", "2026-05-01"]
WORDS += ["yes", "No", "on", "true", "null", "~", "", "<<", "=", "a: b", "- x", "#c", "*a", "&a", "!x", "x ", "a\nb"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8", 8),
        ("+8", 8),
        ("-8", -8),
        ("0", 0),
        ("1e-4", 0.0001),
        ("1E3", 1000.0),
        ("1.0e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.5", -0.5),
        (".inf", math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("2026-05-01", "2026-05-01"),
        ("2026-05-01 12:00:00", "2026-05-01 12:00:00"),
        ("0x1f", "0x1f"),
        ("0o17", "0o17"),
        ("0b11", "0b11"),
        ("1,5", "1,5"),
        ("=", "="),
        ("1_a", "1_a"),
        ("'010'", "010"),
    ],
)
def test_a_word_means_what_it_looks_like(text, meant):
    read = load(f"a: {text}")["a"]
    assert (read, type(read)) == (meant, type(meant))


@pytest.mark.parametrize("word", WORDS)
def test_what_is_written_is_read_back_as_it_was(word):
    for given in (word, [word], {"a": word}, {word or "b": 1}):
        assert load(dump(given)) == given


@pytest.mark.parametrize("number", [1e-5, 1e22, 1e16, 0.1, 3.0, -2.5e-300, 0.1 + 0.2, 2**32, -7, math.inf])
def test_numbers_are_written_so_that_they_stay_what_they_are(number):
    read = load(dump({"a": number}))["a"]
    assert (read, type(read)) == (number, type(number))


def test_texts_of_several_lines_are_written_as_they_are():
    assert dump({"prompt": "One\ntwo\n"}) == "prompt: |\n  One\n  two\n"


def test_aliases_and_merged_fields_are_what_they_stand_for():
    text = "base: &b {low: 0, high: 100}\none: *b\ntwo: {<<: *b, high: 5}\n"
    assert load(text) == {"base": {"low": 0, "high": 100}, "one": {"low": 0, "high": 100}, "two": {"low": 0, "high": 5}}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "'a' is there twice, first in line 1; keep one"),
        ("b: 1\nc: {<<: {a: 1}, <<: {a: 2}}", 2, "'<<' is there twice"),
        ("a:\n  - 010", 2, "010 is read as different numbers"),
        ("a: 00", 1, "00 is read as different numbers"),
        ("a: -01.5", 1, "-01.5 is read as different numbers"),
        ("a: 1_000.5", 1, "1_000.5 is read as different numbers"),
        ("a: " + "9" * 5000, 1, "a number of 5,000 digits"),
        ("a: " + "0" * 5000, 1, "0000... is read as different numbers"),
        ("a: !!float x", 1, "the tag !!float is not read here"),
        ("a:\n b: &x\n  c: *x", 3, "*x stands within what it stands for"),
        ("a: 1\n : b", 2, "not valid YAML"),
    ],
)
def test_what_could_be_misread_is_refused_with_its_line(text, line, words):
    with pytest.raises(Misread) as refused:
        load(text)
    assert words in str(refused.value)
    assert refused.value.line == line


def test_no_short_text_takes_for_ever():
    """Each would take hours where it is read as it is nested; pytest ends a test long before."""
    doubling = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    for text in ("[" * 100_000, "{a: " * 50_000, "- " * 5_000 + "a", "a0: &a0 x\n" + doubling, "a: " + "1" * 1_000_000):
        with pytest.raises(Misread):
            load(text)


@pytest.mark.parametrize("text", ["What is\x85good?", "a\x85\nb", "\u2028x\u2029", "\ufeffx", "\tx ", "x\r\ny"])
def test_a_text_of_rare_separators_comes_back_as_it_was(text):
    assert load(dump({"text": text})) == {"text": text}


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("style", ["- |-\n  {}\n", "- {}\n", '- "{}"\n', "- '{}'\n", "- >-\n  {}\n"])
def test_a_character_at_which_unicode_ends_a_line_is_one_like_others(end, style):
    text = f"Is it{end}so \U0010fffd, or{end} not?"
    assert load(style.replace("{}", text)) == [text]
    for given in ([text], [f"{text}\nand\n"], {f"a{end}b": end}):
        assert load(dump(given)) == given
