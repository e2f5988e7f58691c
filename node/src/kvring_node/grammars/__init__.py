"""Forms that answers may be held to: JSON schemas, regular expressions, Lark grammars."""
