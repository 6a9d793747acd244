"""What came of messages: by day and in all, by variant and against control."""

from __future__ import annotations

from typing import Final

from muster.flow import Flow, Rpc
from muster.service import Service, Way, answered
from muster.v1 import results_pb2

_MESSAGE: Final = Rpc("/muster.v1.ResultsService/GetMessageResults", results_pb2.GetMessageResultsResponse)
_CAMPAIGN: Final = Rpc("/muster.v1.ResultsService/GetCampaignResults", results_pb2.GetCampaignResultsResponse)


class MessageResults(Service[Way]):
    """`client.results`: what came of messages."""

    @answered
    def message(self, key: str) -> Flow[results_pb2.Results]:
        """Of one message: each arm (`sent`, its variants, `control`, `holdout`) by day and in all, and comparisons.

        Raises:
            NotFound: if there is none of that key.

        Example::

            for one in client.results.message("welcome").comparisons:
                print(one.metric, one.arm, one.baseline, one.difference.value, one.difference.p_value)
        """
        request = results_pb2.GetMessageResultsRequest(project=self._project, key=key)
        answer = yield from self._ask(_MESSAGE, request)
        return answer.results

    @answered
    def campaign(self, key: str) -> Flow[results_pb2.Results]:
        """Of all messages of a campaign together, by the campaign's own goal.

        Raises:
            NotFound: if there is none of that key.

        Example::

            for arm in client.results.campaign("win-back").arms:
                print(arm.name, arm.users, arm.outcome.converted, arm.outcome.revenue)
        """
        request = results_pb2.GetCampaignResultsRequest(project=self._project, key=key)
        answer = yield from self._ask(_CAMPAIGN, request)
        return answer.results
