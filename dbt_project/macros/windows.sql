{# The rows of one entity in the last `days` days, strictly before the current row's `moment` (BIGINT microseconds):
   rows of the same instant do not know each other, so ties need no rule. #}
{% macro before(entity, days) -%}
    (partition by {{ entity }} order by moment range between {{ days * 86400000000 }} preceding and 1 preceding)
{%- endmacro %}
