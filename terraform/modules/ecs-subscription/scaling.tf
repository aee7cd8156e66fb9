# The number of tasks. Application Auto Scaling holds it within its bounds, also where they are equal: the service cannot, because it
# would set the number back at every apply.

resource "aws_appautoscaling_target" "this" {
  count = var.schedule == null ? 1 : 0

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${local.cluster_name}/${aws_ecs_service.this[0].name}"
  min_capacity       = var.scaling.min
  max_capacity       = local.max_tasks
  tags               = var.tags
}

locals {
  targets = { for kind, target in {
    # Without what is parked, and in records that a slot could take: more tasks would help none of the others.
    backlog = { metric = "BacklogRecords", value = var.scaling.target_lag }
    load    = { metric = "Load", value = var.scaling.target_load }
  } : kind => target if target.value != null }
}

# With both targets the larger number of tasks wins.
resource "aws_appautoscaling_policy" "this" {
  for_each = var.schedule == null ? local.targets : {}

  name               = "${var.name}-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.this[0].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.value
    scale_in_cooldown  = var.scaling.in_cooldown
    scale_out_cooldown = var.scaling.out_cooldown

    # Every task reports its own share, so the average is what one task has: there is no division by a number of tasks that may be
    # missing or 0.
    customized_metric_specification {
      namespace   = var.metrics_namespace
      metric_name = each.value.metric
      statistic   = "Average"

      dynamic "dimensions" {
        for_each = local.own_dimensions
        content {
          name  = dimensions.key
          value = dimensions.value
        }
      }
    }
  }
}
