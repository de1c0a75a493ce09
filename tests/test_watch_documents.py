from flows.watch_documents import on_this_set
from tasks.definitions import load_experiment
from tasks.documents.inbox import InboxSet
from tasks.schema import DocumentSet


def test_new_documents_are_conditioned_as_the_first_set_of_the_experiment(data):
    like = {"name": "factory_farming_neutral", "limit": 9, "conditioning": "tag", "tag": "Document: "}
    template = load_experiment("standin", [f"documents=[{like}]"])
    folder = data / "inbox" / "new"
    folder.mkdir(parents=True)
    (folder / "rows.jsonl").write_text('{"text": "Hens lay eggs."}\n')
    (found,) = on_this_set(template, InboxSet("new", folder, [folder / "rows.jsonl"], [])).documents
    assert found == DocumentSet(path=found.path, conditioning="tag", tag="Document: ")
