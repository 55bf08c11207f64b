{# A column of a source that not everybody's data has: NULL of the given type where it is missing. #}
{% macro optional_column(relation, name, type) -%}
    {%- set names = adapter.get_columns_in_relation(relation) | map(attribute='name') | list if execute else [name] -%}
    cast({{ name if name in names else 'null' }} as {{ type }})
{%- endmacro %}
