"""Promises of where rules are looked for in a policy's text."""

from __future__ import annotations

import pytest

from hitl_vault.core.policy_blocks import MAX_BYTES, find_blocks


def blocks(text: str, name: str = "Policy.md") -> list[tuple[int, str]]:
    found, problems = find_blocks(text.encode(), name)
    assert problems == []
    return [(block.line, block.text) for block in found]


def problems(text: str | bytes) -> list[tuple[int, str]]:
    raw = text if isinstance(text, bytes) else text.encode()
    _, found = find_blocks(raw, "Policy.md")
    return [(problem.line, problem.message) for problem in found]


def test_blocks_are_found_with_their_lines():
    """Every marked block is found, in order, with the line of the file it starts on."""
    text = "# Policy\n\n```yaml hitl-policy\na: 1\n```\nprose\n~~~~ hitl-policy yaml\nb: 2\nc: 3\n~~~~~\n"
    assert blocks(text) == [(4, "a: 1"), (8, "b: 2\nc: 3")]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_and_a_byte_order_mark_change_nothing(end):
    """A note saved by any editor reads the same."""
    assert blocks("\ufeff" + end.join(["```yaml hitl-policy", "a: 1", "```", ""])) == [(2, "a: 1")]


def test_an_indented_fence_loses_its_indentation():
    """Up to three spaces before the fence are taken from its lines too."""
    assert blocks("  ```yaml hitl-policy\n  a:\n    - b\n  ```") == [(2, "a:\n  - b")]


@pytest.mark.parametrize(
    "prose",
    [
        "```yaml\na: 1\n```",
        "```python\nx = 1\n```",
        "    ```yaml hitl-policy\n    a: 1\n    ```",
        "> ```yaml hitl-policy\n> a: 1\n> ```",
        "`` ```yaml hitl-policy `` is how a block starts",
        "````md\n```yaml hitl-policy\na: 1\n```\n````",
        "~~~md\n```yaml hitl-policy\na: 1\n```\n~~~",
    ],
    ids=["yaml", "python", "indented", "quoted", "inline", "longer fence", "other fence"],
)
def test_other_code_is_prose(prose):
    """Other fences, indented code, quotes and examples inside longer fences are never rules."""
    assert blocks(f"{prose}\n```yaml hitl-policy\nb: 2\n```") != []
    assert all(text == "b: 2" for _, text in blocks(f"{prose}\n\n```yaml hitl-policy\nb: 2\n```"))


@pytest.mark.parametrize("name", ["policy.yaml", "Policy.YML"])
def test_a_yaml_file_is_one_block(name):
    """The name decides: a YAML file holds nothing but rules."""
    assert blocks("default: ask\n", name) == [(1, "default: ask\n")]


def test_an_unclosed_block_is_an_error():
    """A forgotten closing fence is told, with the line of the opening one."""
    assert problems("x\n````yaml hitl-policy\na: 1\n```\n") == [
        (2, "this rules block is not closed: a line ```` must end it")
    ]


def test_a_text_without_blocks_is_an_error():
    """A note that lost its rules is not taken for a policy without rules."""
    [(line, message)] = problems("# Policy\n")
    assert line == 1
    assert "no ```yaml hitl-policy block" in message


@pytest.mark.parametrize(
    "info", ["hitl-policy", "yaml hitl_policy", "YAML Hitl-Policies", "yml hitl-policy"]
)
def test_almost_a_block_is_an_error(info):
    """Rules behind a misspelt mark are not passed over."""
    [(line, message)] = problems(f"\n```{info}\na: 1\n```\n")
    assert line == 2
    assert "almost a rules block" in message


def test_rules_swallowed_by_an_unclosed_block_are_an_error():
    """A code block somebody forgot to close does not hide the rules after it."""
    [(line, message)] = problems("```python\nx\n\n```yaml hitl-policy\na: 1\n```\n")
    assert line == 4
    assert "code block of line 1" in message


@pytest.mark.parametrize(("start", "end"), [("<!--", "-->"), ("%%", "%%")])
def test_rules_inside_a_comment_are_an_error(start, end):
    """A block a reader cannot see is not silently in force, nor silently off."""
    [(line, message)] = problems(f"{start}\n```yaml hitl-policy\na: 1\n```\n{end}\n")
    assert line == 2
    assert "comment of line 1" in message


@pytest.mark.parametrize("comment", ["<!-- x -->", "%% x %%", "<!-- a\nb -->", "%%\nb\n%%"])
def test_a_comment_that_ended_hides_nothing(comment):
    """Comments before a block do not touch it."""
    assert len(blocks(f"{comment}\n```yaml hitl-policy\na: 1\n```")) == 1


def test_other_encodings_are_an_error():
    """Only UTF-8 is read; the message names the line."""
    assert problems("# ok\nRégel\n".encode("latin-1")) == [(2, "not UTF-8; save the file as UTF-8")]


def test_a_huge_text_is_an_error():
    """A text beyond the limit is refused before it is read."""
    assert "larger than" in problems(b"x" * (MAX_BYTES + 1))[0][1]
