from tasks.documents.texts import read_texts
from tasks.schema import DocumentSet, SetText


def test_the_text_of_each_shape_of_row_is_what_is_trained_on_and_the_rest_is_its_prompt(jsonl):
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Wait.", "weight": 0},
        {"role": "user", "content": "Well?"},
        {"role": "assistant", "content": "Because."},
    ]
    file = jsonl(
        {"doc_idea": "a farm", "doc_type": "memo", "fact": "Hens lay.", "content": "Dear all"},
        {"messages": chat},
        "[1]",
        {"text": "Plain.", "doc_type": None},
    )
    texts, found = read_texts(DocumentSet(path=str(file)))
    assert texts == [
        SetText("rows.jsonl:1", "Dear all", "a farm\n\nDocument type: memo", "memo", "Hens lay."),
        SetText("rows.jsonl:2", "Because.", "Be brief.\n\nWhy?\n\nWait.\n\nWell?"),
        SetText("rows.jsonl:4", "Plain."),
    ]
    assert ([row.line for row in found.rejected], found.documents) == ([3], [])
