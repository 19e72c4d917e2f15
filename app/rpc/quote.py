"""QuoteService: decode, call one use case, encode."""

from collections.abc import AsyncIterator

from adapters.wire.amount import read_asset, read_positive_amount, read_side, time_message
from adapters.wire.quote import indicative_quote_message, lp_answer_message, quote_message
from adapters.wire.tenant import read_milliseconds
from adapters.wire.trade import trade_message
from app.rpc.caller import current_caller
from app.rpc.context import Context
from app.rpc.errors import status_of
from app.rpc.request import call_of, customer_filter, money_call_of, next_token, page_of
from app.usecase.quote.accept_quote import AcceptQuote
from app.usecase.quote.cancel_quote import CancelQuote
from app.usecase.quote.create_quote import CreateQuote, QuoteOrder
from app.usecase.quote.get_indicative_quote import GetIndicativeQuote, PriceQuestion
from app.usecase.quote.read_quotes import ReadQuotes
from app.usecase.quote.stream_quotes import NoPrice, PriceNews, StreamQuotes, Unchanged
from domain.errors import InvalidArgument
from domain.ids import QuoteId
from domain.party import Party
from domain.tenant.tenant import MAX_QUOTE_TTL_MS, MIN_QUOTE_TTL_MS
from ports.market import Market
from reli.quote.v1 import quote_service_pb2 as pb
from reli.quote.v1.quote_service_pb2_grpc import QuoteServiceServicer


class QuoteServicer(QuoteServiceServicer):
    def __init__(
        self,
        *,
        create_quote: CreateQuote,
        accept_quote: AcceptQuote,
        cancel_quote: CancelQuote,
        read_quotes: ReadQuotes,
        get_indicative_quote: GetIndicativeQuote,
        stream_quotes: StreamQuotes,
        market: Market,
    ) -> None:
        self._create_quote = create_quote
        self._accept_quote = accept_quote
        self._cancel_quote = cancel_quote
        self._read_quotes = read_quotes
        self._get_indicative_quote = get_indicative_quote
        self._stream_quotes = stream_quotes
        self._market = market

    async def CreateQuote(
        self, request: pb.CreateQuoteRequest, context: Context
    ) -> pb.CreateQuoteResponse:
        order = await self._order(request)
        quoted = await self._create_quote(call_of(request), order)
        return pb.CreateQuoteResponse(
            quote=quote_message(quoted.quote, now=quoted.read_at),
            lp_answers=[lp_answer_message(answer) for answer in quoted.answers],
        )

    async def GetQuote(self, request: pb.GetQuoteRequest, context: Context) -> pb.GetQuoteResponse:
        quoted = await self._read_quotes.get(current_caller().tenant_id, _quote_id(request))
        return pb.GetQuoteResponse(
            quote=quote_message(quoted.quote, now=quoted.read_at),
            lp_answers=[lp_answer_message(answer) for answer in quoted.answers],
        )

    async def ListQuotes(
        self, request: pb.ListQuotesRequest, context: Context
    ) -> pb.ListQuotesResponse:
        page, read_at = await self._read_quotes.list(
            current_caller().tenant_id,
            page_of(request),
            customer_id=customer_filter(request.customer_id),
        )
        return pb.ListQuotesResponse(
            quotes=[quote_message(quote, now=read_at) for quote in page.items],
            next_page_token=next_token(page),
        )

    async def AcceptQuote(
        self, request: pb.AcceptQuoteRequest, context: Context
    ) -> pb.AcceptQuoteResponse:
        trade = await self._accept_quote(money_call_of(request), _quote_id(request))
        return pb.AcceptQuoteResponse(trade=trade_message(trade))

    async def CancelQuote(
        self, request: pb.CancelQuoteRequest, context: Context
    ) -> pb.CancelQuoteResponse:
        quote, read_at = await self._cancel_quote(call_of(request), _quote_id(request))
        return pb.CancelQuoteResponse(quote=quote_message(quote, now=read_at))

    async def GetIndicativeQuote(
        self, request: pb.GetIndicativeQuoteRequest, context: Context
    ) -> pb.GetIndicativeQuoteResponse:
        quote = await self._get_indicative_quote(
            current_caller().tenant_id, await self._question(request)
        )
        return pb.GetIndicativeQuoteResponse(quote=indicative_quote_message(quote))

    async def StreamQuotes(
        self, request: pb.StreamQuotesRequest, context: Context
    ) -> AsyncIterator[pb.StreamQuotesResponse]:
        tenant_id, question = current_caller().tenant_id, await self._question(request)
        async for news in self._stream_quotes(tenant_id, question):
            yield _news_message(news)

    async def _order(self, request: pb.CreateQuoteRequest) -> QuoteOrder:
        question = await self._question(request)
        return QuoteOrder(
            party=Party(customer_filter(request.customer_id)),
            side=question.side,
            base_asset=question.base_asset,
            quote_asset=question.quote_asset,
            fixed=question.fixed,
            ttl_ms=_ttl_ms(request),
        )

    async def _question(
        self,
        request: pb.CreateQuoteRequest | pb.GetIndicativeQuoteRequest | pb.StreamQuotesRequest,
    ) -> PriceQuestion:
        assets = (await self._market.catalogue()).assets
        base = read_asset(request.base_asset, assets, field="base_asset")
        quote = read_asset(request.quote_asset, assets, field="quote_asset")
        field = request.WhichOneof("fixed_amount")
        if field is None:
            raise InvalidArgument(
                "either base_amount or quote_amount must be given", field="base_amount"
            )
        fixed = read_positive_amount(getattr(request, field), assets, field=field)
        expected = base if field == "base_amount" else quote
        if fixed.asset != expected:
            raise InvalidArgument(f"{field} must be in {expected}", field=f"{field}.asset")
        return PriceQuestion(
            side=read_side(request.side),
            base_asset=base.code,
            quote_asset=quote.code,
            fixed=fixed,
        )


def _news_message(news: PriceNews) -> pb.StreamQuotesResponse:
    match news:
        case NoPrice():
            return pb.StreamQuotesResponse(no_price=status_of(news.why))
        case Unchanged():
            heartbeat = pb.QuoteHeartbeat(look_time=time_message(news.looked_at))
            return pb.StreamQuotesResponse(heartbeat=heartbeat)
        case _:
            return pb.StreamQuotesResponse(quote=indicative_quote_message(news))


def _quote_id(
    request: pb.GetQuoteRequest | pb.AcceptQuoteRequest | pb.CancelQuoteRequest,
) -> QuoteId:
    return QuoteId.parse(request.quote_id, field="quote_id")


def _ttl_ms(request: pb.CreateQuoteRequest) -> int | None:
    if not request.HasField("ttl"):
        return None
    ttl_ms = read_milliseconds(request.ttl, field="ttl")
    if not MIN_QUOTE_TTL_MS <= ttl_ms <= MAX_QUOTE_TTL_MS:
        raise InvalidArgument("ttl must be 1 s to 15 min", field="ttl")
    return ttl_ms
