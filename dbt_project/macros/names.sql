{# One folder of models per use case: the folder is the schema, and `fraud_features` is the table `fraud.features`.
   dbt wants model names that are unique in the project; tables are unique in their schema only. #}

{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ node.fqn[1] if node.resource_type == 'model' and node.fqn | length > 2 else target.schema }}
{%- endmacro %}

{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {%- set prefix = node.fqn[1] ~ '_' -%}
    {%- if custom_alias_name -%}
        {{ custom_alias_name }}
    {%- elif node.name.startswith(prefix) -%}
        {{ node.name[prefix | length:] }}
    {%- else -%}
        {{ node.name }}
    {%- endif -%}
{%- endmacro %}
