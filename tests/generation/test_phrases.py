from tasks.generation.phrases import Names, capitalised, opening, phrases, words


def test_words_are_in_lower_case_and_what_a_hyphen_or_an_apostrophe_joins_is_one():
    assert words("Don't re-use 12 Café_tables, 'please'!") == ("don't", "re-use", "12", "café", "tables", "please")


def test_phrases_are_runs_of_five_words_and_a_shorter_text_is_one():
    assert phrases("A farm of hens, and pigs") == ["a farm of hens and", "farm of hens and pigs"]
    assert (phrases("Two words"), phrases(" ... ")) == (["two words"], [])


def test_an_opening_is_the_first_four_words():
    assert opening("# It was a cold, grey morning") == "it was a cold"
    assert (opening("Short."), opening("")) == ("short", "")


def test_capitals_at_the_begin_of_a_sentence_a_line_or_a_quotation_are_no_names():
    text = 'Then Marchetti spoke. "Nobody knows," she said, "Because I did not ask."\nTuesday came, and I\'m here.'
    assert capitalised(text) == {"Marchetti"}


def test_a_title_does_not_hide_a_name_and_a_possessive_is_the_same_name():
    assert capitalised("We met Dr. Okafor and Mrs. Lind, and Okafor’s son, on Monday.") == {"Okafor", "Lind"}


def test_words_that_stand_in_more_documents_without_a_capital_are_no_names_of_the_set():
    names = Names()
    for text in ("on the Quiet Barn", "by the quiet lake, near the barn", "a quiet day with Anna", "and with Anna"):
        names.add(text)
    assert names.most_common(5) == [("Anna", 2)]
    assert (names.documents("Anna"), names.documents("Barn"), names.documents("Otto")) == (2, 0, 0)
