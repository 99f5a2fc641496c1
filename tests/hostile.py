"""A hundred texts that must not do anything where they are shown."""

from itertools import product

LONG = "x" * 100_000
_TAGS = (
    "<script>{}</script>",
    "</script><script>{}</script>",
    "<img src=x onerror={}>",
    "<svg onload={}>",
    "<svg><script>{}</script></svg>",
    "<iframe src=javascript:{}>",
    "<a href=javascript:{}>x</a>",
    "<math href=javascript:{}><mi>x</mi></math>",
    "<body onload={}>",
    "<details open ontoggle={}>",
    "<style>@import 'http://example.org/x.css';</style>{}",
    "<link rel=stylesheet href=http://example.org/x.css>{}",
    "<img src=http://example.org/x.png>{}",
    "<meta http-equiv=refresh content='0;url=http://example.org'>{}",
    "<base href=http://example.org>{}",
    "<form action=http://example.org><input autofocus onfocus={}>",
)
_ENDS = ("", '">', "'>", "-->", "]]>")
_HOSTILE = [f"{end}{tag.format('hacked=1')}" for tag, end in product(_TAGS, _ENDS)]
HOSTILE = (
    *_HOSTILE,
    "javascript:hacked=1",
    "\\href{javascript:hacked=1}{x}",
    "\\text{</math><script>hacked=1</script>}",
    "$\\mathrm{x}$ $",
    "\\frac{1}{2",
    "%{x} %{customdata} {{x}} ${x} $title $data",
    "\x1b[31mred\x1b[0m\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]8;;http://example.org\x07link\x1b]8;;\x07",
    "\x9b31m",
    "a\u202egnp.exe",
    "\u2066left\u2069 \u2067right\u2069 \u200f\u061c",
    "line\nbreak\r\nand\ttab\x00nul\x7f",
    "\u2028\u2029",
    "\ud800 alone",
    "[bold red]markup[/] [link=http://example.org]x[/link]",
    "&lt;script&gt;hacked=1&lt;/script&gt; &#x3c;",
    "' onmouseover='hacked=1' \" onmouseover=\"hacked=1",
    LONG,
    "<script>hacked=1</script>" * 4000,
)
"""No two are alike; `hacked=1` is what the scripts in them would do."""

assert len(set(HOSTILE)) == len(HOSTILE) >= 100
COMMANDS = {*map(chr, (*range(0x20), *range(0x7F, 0xA0))), *"\u202a\u202b\u202c\u202d\u202e"}
COMMANDS |= {*"\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029"}
COMMANDS -= {"\n"}
"""Characters that terminals and readers obey, but for the end of a line."""
