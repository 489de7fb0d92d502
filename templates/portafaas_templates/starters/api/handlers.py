from portafaas.runtime import Context, HttpHandler, Request


class Greet(HttpHandler):
    def handle(self, request: Request, context: Context) -> dict[str, str]:
        who = request.path_params["who"]
        context.logger.info("greeting %s", who)
        return {"greeting": f"Hello, {who}!"}
