from glm_core.glyph import quoted_texts
from tests.posters.samples import EDITS


def test_edits_change_what_they_say_and_keep_the_rest():
    for edit in EDITS:
        before, after = set(edit.before.items), set(edit.after.items)
        if "background" in edit.sentence:
            assert before == after
            continue
        assert edit.before.background == edit.after.background
        removed, added = before - after, after - before
        assert len(removed) == 1 and len(added) == (0 if edit.sentence.startswith("Remove") else 1), edit
        (old,) = removed
        assert old.zone_phrase in edit.sentence and old.noun in edit.sentence
        for new in added:
            assert quoted_texts(edit.sentence) == ([new.text] if edit.sentence.startswith("Change") else [""])
            assert (new.zone != old.zone) == edit.sentence.startswith("Move")
