import pytest
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from marketplace.kernel.serializers import StrictSerializer


class Line(StrictSerializer):
    product_id = serializers.CharField(required=False)
    quantity = serializers.IntegerField(min_value=1)


class Basket(StrictSerializer):
    id = serializers.CharField(read_only=True)
    ordered_lines = Line(many=True)
    user_name = serializers.CharField(required=False)
    total_words = serializers.SerializerMethodField()

    def validate_user_name(self, value):
        if value == "nobody":
            raise serializers.ValidationError("Nobody can't order.", code="nobody")
        return value.lower()

    def get_total_words(self, basket):
        return len(basket["ordered_lines"])


def test_camel_case_comes_in_and_snake_case_is_worked_with():
    serializer = Basket(data={"orderedLines": [{"productId": "p", "quantity": 2}], "userName": "Ada"})

    serializer.is_valid(raise_exception=True)

    assert serializer.validated_data == {"ordered_lines": [{"product_id": "p", "quantity": 2}], "user_name": "ada"}


def test_snake_case_is_worked_with_and_camel_case_goes_out():
    basket = {"id": "1", "ordered_lines": [{"product_id": "p", "quantity": 2}], "user_name": "ada"}

    assert Basket(basket).data == {
        "id": "1",
        "orderedLines": [{"productId": "p", "quantity": 2}],
        "userName": "ada",
        "totalWords": 1,
    }


def test_everything_that_is_wrong_is_said_at_once():
    serializer = Basket(
        data={
            "orderedLines": [{"quantity": 1}, {"quantity": 0, "colour": "red"}],
            "userName": "nobody",
            "user_name": "x",
            "id": "2",
        }
    )

    with pytest.raises(ValidationError) as refused:
        serializer.is_valid(raise_exception=True)

    assert refused.value.get_codes() == {
        "orderedLines": {1: {"quantity": ["min_value"], "colour": ["unknown_field"]}},
        "userName": ["nobody"],
        "user_name": ["unknown_field"],
        "id": ["unknown_field"],
    }


@pytest.mark.parametrize("body", [[], "text", 5, None, True])
def test_what_is_no_object_is_refused(body):
    serializer = Basket(data=body)

    assert not serializer.is_valid()


def test_one_reader_reads_for_everybody_and_keeps_nothing():
    assert Basket.read({"orderedLines": [{"quantity": 2}], "userName": "Ada"}) == {
        "ordered_lines": [{"quantity": 2}],
        "user_name": "ada",
    }
    for _ in range(2):
        with pytest.raises(ValidationError) as refused:
            Basket.read({"orderedLines": [{"quantity": 0}], "user_name": "x"})
        assert refused.value.get_codes() == {
            "orderedLines": {0: {"quantity": ["min_value"]}},
            "user_name": ["unknown_field"],
        }
    assert Basket.read({"orderedLines": [{"quantity": 1}]}) == {"ordered_lines": [{"quantity": 1}]}
    assert Line.read({"quantity": 1}) == {"quantity": 1}


@pytest.mark.parametrize("body", [[], "text", 5, None, True])
def test_a_reader_refuses_what_is_no_object(body):
    with pytest.raises(ValidationError):
        Basket.read(body)
