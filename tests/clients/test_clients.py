"""Every client is built, keeps its own tests, and tells the same story as all others."""

from app.stack.stack import ReadyStack
from tests.clients.language import FOLDER, LANGUAGES, STORY, TOOLS, Language


def test_every_folder_is_a_client_that_is_built_here() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()}

    assert folders == {language.name for language in LANGUAGES} == set(TOOLS)


def test_its_unit_tests_pass(built: Language) -> None:
    test = built.test()

    assert test.is_well, test.printed + test.complained


def test_it_tells_the_story_that_all_tell(built: Language, running_stack: ReadyStack) -> None:
    story = built.tell(running_stack)

    assert story.is_well, story.printed + story.complained
    assert story.printed == STORY
