{# Each key of the model stands in the other model and the other way round; returns the keys that do not. #}
{% test same_keys(model, column_name, to) %}
    (select {{ column_name }} from {{ model }} except all select {{ column_name }} from {{ to }})
    union all
    (select {{ column_name }} from {{ to }} except all select {{ column_name }} from {{ model }})
{% endtest %}
