"""Pages as a parser sees them: elements, their text, their forms; and browsers that are signed in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from test_sessions import sign_in

VOID = {"meta", "link", "input", "br", "img", "hr", "line", "path", "rect", "wbr"}

POLICY = """# Policy

```yaml hitl-policy
default: ask
rules:
  - id: reads
    when: action.type == "read"
    effect: allow
    reason: It only reads
  - id: payments
    when: action.type == "payment"
    effect: ask
    risk: high
    reason: Payments need a person
    answers: [approve, reject, edit]
    summary: Pay {amount} to {to}
  - id: deploys
    when: action.type == "deploy"
    effect: ask
    risk: medium
    reason: A deployment
    answers: [approve, reject, edit]
    stages:
      - approvers: [alice, bob]
      - approvers: [carol]
  - id: secrets
    when: action.type == "secret"
    effect: ask
    risk: critical
    reason: A secret is shown
    approvers: [alice]
    assurance: authenticated
  - id: signed
    when: action.type == "signed"
    effect: ask
    reason: It must be signed
    assurance: signed
  - id: reasons
    when: action.type == "reasoned"
    effect: ask
    reason: It must be said why
    require_reason: [reject]
```
"""


@dataclass
class Element:
    tag: str
    attrs: dict[str, str]
    parent: Element | None = None
    children: list[Any] = field(default_factory=list)

    def all(self, tag: str = "", **attrs: str) -> list[Element]:
        """Every element below, by tag and attributes; `class_` is one of its classes."""
        return [one for one in self.walk() if _fits(one, tag, attrs)]

    def one(self, tag: str = "", **attrs: str) -> Element:
        found = self.all(tag, **attrs)
        assert len(found) == 1, (tag, attrs, len(found), self.text[:500])
        return found[0]

    def walk(self) -> Iterator[Element]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.walk()

    @property
    def text(self) -> str:
        return " ".join(self.raw.split())

    @property
    def raw(self) -> str:
        return "".join(c if isinstance(c, str) else c.raw for c in self.children)

    def form(self, ending: str) -> dict[str, str]:
        """The fields of the form whose address ends so, as a browser would send them."""
        forms = [one for one in self.all("form") if one.attrs.get("action", "").endswith(ending)]
        assert forms, (ending, [one.attrs.get("action") for one in self.all("form")])
        sent = {}
        for one in forms[0].walk():
            if one.tag == "textarea":
                sent[one.attrs["name"]] = one.raw
            elif one.tag == "input" and "name" in one.attrs:
                sent[one.attrs["name"]] = one.attrs.get("value", "")
        return sent


def _fits(one: Element, tag: str, attrs: dict[str, str]) -> bool:
    if tag and one.tag != tag:
        return False
    for name, value in attrs.items():
        if name == "class_":
            if value not in one.attrs.get("class", "").split():
                return False
        elif one.attrs.get(name.replace("_", "-")) != value:
            return False
    return True


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.now = Element("", {})

    def handle_starttag(self, tag, attrs):
        made = Element(tag, {name: value or "" for name, value in attrs}, self.now)
        self.now.children.append(made)
        if tag not in VOID:
            self.now = made

    def handle_startendtag(self, tag, attrs):
        self.now.children.append(Element(tag, {n: v or "" for n, v in attrs}, self.now))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.now.tag == tag, f"</{tag}> closes <{self.now.tag}>"
        assert self.now.parent is not None
        self.now = self.now.parent

    def handle_data(self, data):
        self.now.children.append(data)


def parse(answer: Any, status: int = 200) -> Element:
    """Return the page of an answer; every element is closed where it was opened."""
    assert answer.status_code == status, (answer.status_code, answer.text[:2000])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    reader = _Reader()
    reader.feed(answer.text)
    reader.close()
    assert reader.now is reader.root, f"<{reader.now.tag}> is not closed"
    return reader.root


def use_policy(root: Any) -> None:
    """Put the rules of these tests in force before the vault is served."""
    from hitl_vault.cli.starting import make_vault

    make_vault(root)
    (root / "Policy.md").write_text(POLICY, encoding="utf-8")


async def browser(service: Any, name: str = "alice", *scopes: Any) -> Any:
    """Return a browser in which somebody is signed in."""
    return await sign_in(service, service.token("reviewer", name, *scopes))


async def ask(service: Any, type: str = "payment", **more: Any) -> Any:
    """Ask, as an agent would."""
    given = {"description": "Pay it", "requested_by": "bot"} | more
    details = given.pop("details", {"amount": 1500, "to": "v@x.org"})
    return await service.hitl.request_approval(type, given.pop("description"), details, **given)


async def page_of(client: Any, path: str, status: int = 200) -> Element:
    return parse(await client.get(path), status)


async def send(client: Any, page: Element, ending: str, **typed: Any) -> Any:
    """Fill in the form of a page and send it."""
    forms = [one for one in page.all("form") if one.attrs.get("action", "").endswith(ending)]
    body = page.form(ending) | {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in typed.items()
    }
    return await client.post(forms[0].attrs["action"].partition("#")[0], data=body)
