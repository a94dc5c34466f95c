"""The refusals of the exchange: Binance's codes, and its sentences for them."""

from __future__ import annotations

from leverpack.errors import LeverpackError

# Source: developers.binance.com, USDS-M futures, "Error Code".
MESSAGES = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1003: "Too many requests; current limit is {limit} requests per minute. "
    "Please use the websocket for live updates to avoid polling the API.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; "
    "execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -1015: "Too many new orders; current limit is {limit} orders per {interval}.",
    -1016: "This service is no longer available.",
    -1020: "This operation is not supported.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1100: "Illegal characters found in parameter '{name}'.",
    -1101: "Too many parameters sent for this endpoint.",
    -1102: "Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    -1105: "Parameter '{name}' was empty.",
    -1106: "Parameter '{name}' sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1120: "Invalid interval.",
    -1121: "Invalid symbol.",
    -1125: "This listenKey does not exist.",
    -1128: "Combination of optional parameters invalid.",
    -1130: "Data sent for parameter '{name}' is not valid.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2019: "Margin is insufficient.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -2025: "Reach max open order limit.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -2028: "Leverage is smaller than permitted: insufficient margin balance.",
    -4003: "Quantity less than or equal to zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4006: "Stop price less than zero.",
    -4013: "Price less than min price.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id length should be less than 36 chars.",
    -4028: "Leverage {leverage} is not valid.",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4050: "Cross balance insufficient.",
    -4051: "Isolated balance insufficient.",
    -4054: "Cannot add position margin: position is 0.",
    -4059: "No need to change position side.",
    -4061: "Order's position side does not match user's setting.",
    -4062: "Invalid or improper reduceOnly value.",
    -4067: "Position side cannot be changed if there exists open orders.",
    -4068: "Position side cannot be changed if there exists position.",
    -4109: "This account is inactive.",
    -4116: "ClientOrderId is duplicated.",
    -4120: "Order type not supported for this endpoint. "
    "Please use the Algo Order API endpoints instead.",
    -4130: "An open stop or take profit order with GTE and closePosition in the direction is "
    "existing.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    -4136: "Target strategy invalid for orderType {kind}, closePosition true",
    -4137: "Quantity must be zero with closePosition equals true.",
    -4138: "Reduce only must be true with close position true.",
    -4161: "Leverage reduction is not supported in Isolated Margin Mode with open positions.",
    -4164: "Order's notional must be no smaller than {notional} (unless you choose reduce only).",
    -4168: "Unable to adjust to isolated-margin mode under the Multi-Assets mode.",
    -4171: "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected. "
    "The order will not be recorded in the order history.",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected. "
    "The order will not be recorded in the order history.",
    -5025: "Only limit order is supported.",
    -5027: "No need to modify the order.",
    -5040: "The goodTillDate timestamp must be greater than the current time plus 600 seconds and "
    "smaller than 253402300799000.",
}
_STATUS = {-1003: 429, -1015: 429, -1022: 400, -2014: 401, -2015: 401, -1007: 408, -1008: 503}


class Refusal(LeverpackError):
    """The venue says no: ``code``, ``msg`` and the HTTP ``status`` that goes with them.

    >>> Refusal(-4028, leverage=130).msg
    'Leverage 130 is not valid.'
    """

    def __init__(self, code: int, msg: str | None = None, *, status: int | None = None,
                 **words: object) -> None:  # fmt: skip
        self.code = code
        self.msg = MESSAGES[code].format(**words) if msg is None else msg
        self.status = _STATUS.get(code, 400) if status is None else status
        super().__init__(f"{code}: {self.msg}")

    def shape(self) -> dict[str, object]:
        """The JSON body."""
        return {"code": self.code, "msg": self.msg}
