{# The rows of one entity in the last `days` days, strictly before the current row's `moment` (BIGINT microseconds):
   rows of the same instant do not know each other, so ties need no rule. "Up to now without the present" says the same
   as "up to 1 preceding", and DuckDB need not search where the frame ends: up to half the time of such a window. #}
{% macro before(entity, days) -%}
    (
        partition by {{ entity }} order by moment
        range between {{ days * 86400000000 }} preceding and current row exclude group
    )
{%- endmacro %}
