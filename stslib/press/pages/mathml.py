"""A Sphinx extension that writes formulas as MathML, which browsers show by themselves: no script, no network.

Named in `_config.yml`. The conversion is docutils' own; a formula that it cannot read is a warning, so the build fails.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _write(translator: Any, node: nodes.Element, as_block: bool) -> None:
    formula = node.astext()
    try:
        mathml = tex2mathml(formula, as_block=as_block)
    except (MathError, SyntaxError, KeyError, IndexError) as error:
        logger.warning("formula %r cannot be written as MathML: %s", formula, error, location=node)
        raise nodes.SkipNode from None
    if as_block:
        translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
        translator.body.append(mathml + "</div>\n")
    else:
        translator.body.append(f'<span class="math notranslate nohighlight">{mathml}</span>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register the renderer `mathml` (Sphinx calls this)."""
    inline, block = partial(_write, as_block=False), partial(_write, as_block=True)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
